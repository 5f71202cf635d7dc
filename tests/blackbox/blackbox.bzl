"""Tests that start the real broker and talk to it from outside."""

# Clients that others wrote, and each QoS.
WINE_EVERYDAY = [
    "mosquitto_clients_test",
    "mqttjs_test",
    "qos_test",
]

def blackbox_test(
        name,
        args = [],
        data = [],
        workers = [1],
        io_uring = False,
        uv = False,
        wine = False,
        size = "medium",
        **kwargs):
    """Declares a test of the broker: `name`.py, run once for each number of workers.

    Args:
      name: the test, and its script without `.py`.
      args: further arguments of the script.
      data: further files that the script needs.
      workers: numbers of threads of the broker. More than one shows what is lost
        between two of them. The first one's test has the plain name.
      io_uring: also run it with that backend, and two workers. Where the system
        does not have it, the broker falls back to the ordinary one.
      uv: also run it with libuv, and two workers.
      wine: also run it with a broker for Windows, and two workers.
      size: size of the test.
      **kwargs: passed on.
    """
    variants = [
        (name if count == workers[0] else "%s_%d_workers" % (name, count), count, "")
        for count in workers
    ]
    if io_uring:
        variants.append((name + "_io_uring", 2, "--io=io_uring"))
    if uv:
        variants.append((name + "_uv", 2, "--io=uv"))
    for variant, count, io in variants:
        native.sh_test(
            name = variant,
            size = size,
            srcs = [name + ".py"],
            args = [
                "--broker=$(rootpath //broker)",
                "--workers=%d" % count,
            ] + ([io] if io else []) + args,
            data = data + [
                "//broker",
                "//tests/support",
            ],
            **kwargs
        )
    if wine:
        native.sh_test(
            name = name + "_wine",
            size = size,
            srcs = [name + ".py"],
            args = [
                "--broker=$(rootpath //tests/windows:broker)",
                "--wine=$(rootpath //tools/wine:prefix.tar)",
                "--workers=2",
            ] + args,
            data = data + [
                "//tests/support",
                "//tests/windows:broker",
                "//tools/wine:environment.sh",
                "//tools/wine:prefix.tar",
            ],
            # The rest is run by hand, since minutes are few:
            # bazel test $(bazel query 'attr(tags, wine, //...)')
            tags = ["wine"] + ([] if name in WINE_EVERYDAY else ["manual"]),
            **kwargs
        )
