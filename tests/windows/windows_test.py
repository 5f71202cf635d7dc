#!/usr/bin/python3 -B
"""What only Windows has: its paths, its console, its services, its ways to ask a process, its heap."""

import argparse
import fcntl
import os
import pathlib
import pty
import re
import subprocess
import sys
import termios
import threading

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from support import broker, files, wine
from support.suite import BrokerTest, arguments, main

PARSER = argparse.ArgumentParser()
PARSER.add_argument("--console-event", help="console_event.exe")
PARSER.add_argument("--set-event", help="set_event.exe")
PARSER.add_argument("--mimalloc", action="store_true", help="what malloc() has to be")
OPTIONS, _ = arguments(PARSER)
LONG_S = 120
OBJDUMP = "/usr/bin/x86_64-w64-mingw32-objdump"
# What takes or returns memory of that heap, at least where it is asked to.
OF_THE_C_LIBRARYS_HEAP = set(
    """malloc calloc realloc free _recalloc _msize _expand _strdup strdup _wcsdup wcsdup _mbsdup
    _aligned_malloc _aligned_realloc _aligned_free _aligned_offset_malloc _dupenv_s _wdupenv_s
    _fullpath _wfullpath _getcwd _wgetcwd _getdcwd _wgetdcwd _tempnam _wtempnam""".split()
)


def windows_path(path):
    """Of a file of this system, in full."""
    return "Z:" + str(path).replace("/", "\\")


class Paths(BrokerTest):
    def on_c(self, *parts):
        """A new folder on the C: drive: its path there and here."""
        here = wine.drive_c().joinpath(self.unique, *parts)
        here.mkdir(parents=True)
        return "\\".join(["C:", self.unique, *parts]), here

    def test_drives_backslashes_blanks_and_other_letters(self):
        there, here = self.on_c("Bröker 1")
        (here / "more").mkdir()
        (here / "more" / "1.conf").write_text(f"acl_file {there}\\acl\n")
        (here / "acl").write_text("topic readwrite open/#\n")
        target = self.own_broker(
            "allow_anonymous false\n"
            "password_file Z:{dir}\\passwd\n"
            f"include_dir {there}\\more\n"
            f"log_dest file {there}\\log ü.txt\n",
            start=False,
            args=("-c", f"{there}\\millrace.conf"),
        )
        target.file("passwd", files.password_file(alice="one"))
        target.config_path.rename(here / "millrace.conf")
        target.start()
        self.connect("refused", broker=target, user="alice", password="one").disconnect()
        bad = self.open(broker=target)
        bad.connect("b", 0x86, user="alice", password="two")
        log = here / "log ü.txt"
        target.stop()
        self.assertIn(self.client_id("refused"), log.read_text())
        self.assertIn(b"\r\n", log.read_bytes())
        target.stop = lambda: None

    def test_a_path_that_is_longer_than_260_letters(self):
        there, here = self.on_c(*["f" * 60] * 6)
        (here / "long.conf").write_text("listener 1883\n")
        target = self.own_broker("", start=False)
        target.stop = target.discard
        done = target.run("--test-config", "-c", f"{there}\\long.conf")
        self.assertEqual(done.returncode, 0, done.text)

    def test_a_missing_file_is_named(self):
        target = self.own_broker("", start=False)
        target.stop = target.discard
        done = target.run("-c", "C:\\nowhere\\millrace.conf")
        self.assertEqual(done.returncode, 1)
        self.assertIn("C:\\nowhere\\millrace.conf", done.text)

    def test_a_log_file_is_opened_again(self):
        there, here = self.on_c()
        target = self.own_broker(f"log_dest file {there}\\log\n")
        self.await_value(True, (here / "log").exists, "log file")
        (here / "log").rename(here / "old")
        target.reload()
        self.connect("after", broker=target)
        self.await_value(
            lambda text: self.client_id("after") in text, (here / "log").read_text, "log file"
        )


class CommandLine(BrokerTest):
    def run_binary(self, *args):
        target = self.own_broker("", start=False)
        target.stop = target.discard
        return target.run(*args)

    def test_help_tells_of_services(self):
        done = self.run_binary("--help")
        self.assertEqual(done.returncode, 0)
        self.assertIn("millrace install", done.text)
        self.assertIn("--config-file", done.text)

    def test_other_systems_ways_of_input_and_output_are_refused(self):
        for name in ("epoll", "io_uring", "uv"):
            done = self.run_binary("--test-config", "--io", name)
            self.assertEqual(done.returncode, 1)
            self.assertIn(f"io_backend {name}: not on this system, which has auto, iocp", done.text)
        self.assertEqual(self.run_binary("--test-config", "--io", "iocp").returncode, 0)

    def test_there_are_no_daemons(self):
        done = self.run_binary("-d", "--port", str(broker.free_port()))
        self.assertEqual(done.returncode, 1)
        self.assertIn("can't become a daemon", done.text)

    def test_another_user_is_refused(self):
        target = self.own_broker("user somebody\n", start=False)
        target.stop = target.discard
        done = target.run("-c", target.config_path)
        self.assertEqual(done.returncode, 1)
        self.assertIn("Can't become user somebody", done.text)

    def test_requests_to_nobody(self):
        for args in (("signal", "stop", "999999"), ("signal", "stop"), ("signal", "x", "1")):
            done = self.run_binary(*args)
            self.assertEqual(done.returncode, 1, args)
            self.assertIn("millrace: ", done.text)

    def test_the_program_says_what_it_is(self):
        data = pathlib.Path(OPTIONS.broker).read_bytes()
        self.assertIn("Millrace MQTT broker".encode("utf-16-le"), data)


class Heap(BrokerTest):
    """//tests/windows:heap_wine_test looks at it from inside."""

    def setUp(self):
        super().setUp()
        if not OPTIONS.mimalloc:
            self.skipTest("NOT TESTED: mimalloc's source can't be had on this machine")

    def test_it_is_mimallocs(self):
        target = self.own_broker("", start=False)
        target.stop = target.discard
        done = target.run("--test-config", env={**os.environ, "MIMALLOC_SHOW_STATS": "1"})
        self.assertRegex(done.text, r"(?s)heap stats:.*segments: +[1-9]")

    def test_no_memory_comes_from_the_heap_of_the_c_library(self):
        """Else free() would get what isn't mimalloc's: see malloc_windows.c."""
        listed = subprocess.run(
            [OBJDUMP, "-p", OPTIONS.broker], stdout=subprocess.PIPE, text=True, check=True
        ).stdout
        imported = set(re.findall(r"^\t[0-9a-f]+\t +[0-9]+ +(\w+)$", listed, re.MULTILINE))
        self.assertIn("memcpy", imported)
        self.assertEqual(set(), imported & OF_THE_C_LIBRARYS_HEAP)


class Requests(BrokerTest):
    def test_scripts_for_mosquitto_reload_and_stop_it(self):
        """`signal` sets our events; Mosquitto's names are those of its documentation."""
        target = self.own_broker()
        target.stop = target.discard
        self.press(target, "reload")
        target.wait_for_log("reloaded")
        self.press(target, "shutdown")
        self.assertEqual(target.wait(), 0)
        self.assertIn("Stopping on event shutdown", target.log())

    def press(self, target, word):
        command = [wine.loader(), OPTIONS.set_event, f"mosq{target.windows_pid()}_{word}"]
        subprocess.run(command, check=True, timeout=LONG_S)


class Console(BrokerTest):
    """What the user of a console does to it, and what the system does to its processes."""

    # Numbers of the events: Windows' wincon.h.
    BREAK, CLOSE, LOGOFF, SHUTDOWN = 1, 2, 5, 6

    def expect_clean_end(self, target, connected, why):
        connected.expect_end(0x8B)
        self.assertEqual(target.wait(), 0)
        self.assertIn(f"Stopping on {why}", target.log())

    def send(self, target, event):
        command = [wine.loader(), OPTIONS.console_event, target.windows_pid(), event]
        done = subprocess.run(
            list(map(str, command)), capture_output=True, timeout=LONG_S, check=False
        )
        return done.returncode, done.stderr.decode(errors="replace")

    def test_ctrl_c_in_a_terminal_stops_it(self):
        """Wine makes a console of a terminal, with its own program between the two."""
        target = self.own_broker("log_dest file {dir}/console\n", start=False)
        target.stop = target.discard
        target.log_path = target.folder / "console"
        screen, terminal = pty.openpty()

        def use_terminal():
            os.setsid()
            fcntl.ioctl(0, termios.TIOCSCTTY, 0)

        target.process = subprocess.Popen(
            target.command("-c", str(target.config_path)),
            stdin=terminal,
            stdout=terminal,
            stderr=terminal,
            preexec_fn=use_terminal,
        )
        os.close(terminal)
        threading.Thread(target=self.look_at, args=(screen,), daemon=True).start()
        target.wait_until_ready()
        connected = self.connect(broker=target)
        connected.ping()
        os.write(screen, b"\x03")
        self.expect_clean_end(target, connected, "Ctrl-C")

    @staticmethod
    def look_at(screen):
        """Who writes would wait for a reader."""
        try:
            while os.read(screen, 4096):
                pass
        except OSError:
            pass  # The far end is closed.
        os.close(screen)

    def expect_end_by(self, event, why):
        target = self.own_broker()
        target.stop = target.discard
        connected = self.connect(broker=target)
        connected.ping()
        sent = self.send(target, event)
        self.expect_clean_end(target, connected, why)
        self.assertEqual(sent, (0, ""))

    def test_ctrl_break_stops_it(self):
        self.expect_end_by(self.BREAK, "Ctrl-Break")

    def test_closing_its_console_stops_it(self):
        self.expect_end_by(self.CLOSE, "the end of its console")

    def test_the_end_of_the_machine_stops_it(self):
        self.expect_end_by(self.SHUTDOWN, "the end of its console")

    def test_a_user_who_logs_off_does_not(self):
        """Services learn of it, whoever it is."""
        target = self.own_broker()
        connected = self.connect(broker=target)
        self.assertEqual(self.send(target, self.LOGOFF), (0, ""))
        connected.ping()
        self.assertNotIn("Stopping", target.log())


class EventLog(BrokerTest):
    """Wine keeps no events: ReadEventLog() fails there with ERROR_HANDLE_EOF whatever was reported.
    But its ReportEvent() can tell what it was called with."""

    REPORTED = r"{}:eventlog:ReportEventW L\".*{}"
    ERROR, WARNING, INFORMATION = "err", "warn", "trace"

    def own_traced_broker(self, config, **options):
        target = self.own_broker(config, start=False, **options)
        command = target.command
        traced = ["/usr/bin/env", "WINEDEBUG=-all,+eventlog,fixme+advapi"]
        target.command = lambda *args: [*traced, *command(*args)]
        return target

    def test_lines_are_reported_with_their_type_and_the_number_of_our_text(self):
        target = self.own_traced_broker("log_dest syslog\n").start()
        target.wait_for_log(self.REPORTED.format(self.INFORMATION, "listening on"))
        log = target.log()
        self.assertIn('RegisterEventSourceW ((null),L"millrace")', log)
        # Type 4 is information; event 1 has the text "%1", and one string to put there.
        self.assertRegex(log, r"ReportEventW \(\w+,0x0004,0x0000,0x00000001,0000000000000000,0x0001,")
        taken = f"listener {target.port} 127.0.0.1\nlog_dest syslog\n"
        second = self.own_traced_broker(taken, bare=True)
        second.stop = second.discard
        done = second.run("-c", second.config_path)
        self.assertEqual(done.returncode, 1)
        self.assertRegex(done.text, self.REPORTED.format(self.ERROR, f".*{target.port}"))
        self.assertRegex(done.text, r"ReportEventW \(\w+,0x0001,")


class Service(BrokerTest):
    """One for the machine, that is, for the C: drive of these tests."""

    def wine(self, *args):
        done = subprocess.run(
            [wine.loader(), *args], capture_output=True, timeout=LONG_S, check=False
        )
        return done.returncode, (done.stdout + done.stderr).decode(errors="replace")

    def succeed(self, *args):
        code, text = self.wine(*args)
        self.assertEqual(code, 0, f"{args}: {text}")
        return text

    def test_life_of_a_service(self):
        there = f"C:\\{self.unique}.log"
        log = wine.drive_c() / f"{self.unique}.log"
        target = self.own_broker(f"log_dest file {there}\n", start=False)
        target.stop = target.discard
        path = os.path.abspath(OPTIONS.broker)
        text = self.succeed(path, "install", "-c", windows_path(target.config_path))
        self.assertIn("sc start millrace", text)
        self.assertNotEqual(self.wine(path, "install")[0], 0, "a second one")
        self.succeed("net", "start", "millrace")
        self.await_value(lambda text: "listening on" in text, lambda: self.read(log), "log")
        connected = self.connect(broker=target)
        connected.ping()
        self.succeed("net", "stop", "millrace")
        connected.expect_end(0x8B)
        self.await_value(
            lambda text: "Stopping on the service manager's request" in text,
            lambda: self.read(log),
            "log",
        )
        self.succeed(path, "uninstall")
        self.assertNotEqual(self.wine(path, "uninstall")[0], 0, "it is gone")

    @staticmethod
    def read(path):
        return path.read_text() if path.exists() else ""


if __name__ == "__main__":
    main()
