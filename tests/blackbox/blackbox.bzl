"""Tests that start the real broker and talk to it from outside."""

def blackbox_test(name, args = [], data = [], workers = [1], size = "medium", **kwargs):
    """Declares a test of the broker: `name`.py, run once for each number of workers.

    Args:
      name: the test, and its script without `.py`.
      args: further arguments of the script.
      data: further files that the script needs.
      workers: numbers of threads of the broker. More than one shows what is lost
        between two of them. The first one's test has the plain name.
      size: size of the test.
      **kwargs: passed on.
    """
    for count in workers:
        native.sh_test(
            name = name if count == workers[0] else "%s_%d_workers" % (name, count),
            size = size,
            srcs = [name + ".py"],
            args = [
                "--broker=$(rootpath //broker)",
                "--workers=%d" % count,
            ] + args,
            data = data + [
                "//broker",
                "//tests/support",
            ],
            **kwargs
        )
