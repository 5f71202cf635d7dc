"""Models of what must hold in every interleaving, searched by Spin."""

def mr_model_test(name, states_min, states_max, variants):
    """`bazel test` searches all states of NAME.pml, and finds the fault of each broken variant.

    Args:
      name: of the model; the test is NAME_test.
      states_min: fewer mean that something keeps the model from moving.
      states_max: more are not wanted in an ordinary test.
      variants: for each macro that breaks the model, what the error says that it leads to.
    """
    native.sh_test(
        name = name + "_test",
        size = "small",
        srcs = ["check_model.py"],
        args = ["$(location %s.pml)" % name, str(states_min), str(states_max)] + [
            "%s=%s" % (variant, what.replace(" ", "_"))
            for variant, what in variants.items()
        ],
        data = [name + ".pml"],
    )
