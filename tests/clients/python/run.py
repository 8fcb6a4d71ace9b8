"""Debian's python3-stomp (stomp.py 8.0), unmodified, asked all it can do: in TAP on standard output.

    /usr/bin/python3 run.py URL VERSION [WORD]      see world.py for the URL; only tests whose name has WORD in it
"""

import signal
import sys
import unittest

import world

LIMIT_S = 60  # stomp.py itself waits without one


class OutOfTime(Exception):
    pass


def on_alarm(_number, _frame):
    raise OutOfTime(f"a test took longer than {LIMIT_S} s")


class Tap(unittest.TestResult):
    def startTest(self, test):
        super().startTest(test)
        signal.alarm(LIMIT_S)

    def say(self, word, test, problem=None):
        signal.alarm(0)
        print(f"{word} {self.testsRun} - {test._testMethodName.removeprefix('test_')}")
        for line in "".join(problem or []).splitlines():
            print(f"# {line}")
        sys.stdout.flush()

    def addSuccess(self, test):
        self.say("ok", test)

    def addError(self, test, err):
        super().addError(test, err)
        self.say("not ok", test, self.errors[-1][1])

    addFailure = addError


def all_tests(version, word):
    for module in ("test_connection", "test_tcp", "test_messages", "test_queues", "test_acks", "test_transactions"):
        names = vars(__import__(module))
        cases = [value for value in names.values() if isinstance(value, type) and issubclass(value, world.Case)]
        for case in cases:
            if case is not world.Case and version in case.VERSIONS and world.target.scheme in case.TRANSPORTS:
                kind = type(case.__name__, (case,), {"version": version})
                yield from (kind(name) for name in unittest.defaultTestLoader.getTestCaseNames(kind) if word in name)


def main():
    world.target = world.Target(sys.argv[1])
    signal.signal(signal.SIGALRM, on_alarm)
    suite = unittest.TestSuite(all_tests(sys.argv[2], sys.argv[3] if len(sys.argv) > 3 else ""))
    print(f"1..{suite.countTestCases()}", flush=True)
    return 0 if suite.run(Tap()).wasSuccessful() else 1


sys.exit(main())
