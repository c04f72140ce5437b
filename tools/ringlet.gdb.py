# SPDX-License-Identifier: MIT
"""gdb commands for programs that use ringlet: what every fiber is waiting for, and through which
calls. They read the records of the library and call nothing in the program, so they work on a
running process, on one that is stuck, and on a core file.

    (gdb) source ringlet.gdb.py
    (gdb) ringlet fibers      all fibers of all schedulers, one line each
    (gdb) ringlet bt 3        the awaits of fiber 3, innermost first; `all` for every fiber

The records are those of core/coro/ringlet/extend/{frame_record,wait_record,context}.hpp and
sched/scheduler/ringlet/extend/{fiber_base,scheduler}.hpp. The list of schedulers, and the debug
information about these types, come from sched/scheduler/all_schedulers.cpp.
"""

import re
import time

import gdb

NO_RINGLET = "there is no ringlet in this program (or the program has no symbols)"
NO_TYPES = (
    "the debug information of ringlet is missing. The library brings it unless it was stripped: "
    "install the package with the debug symbols, or link a library that was not stripped"
)
# The offsets of two fields of std::source_location::__impl in libstdc++, which has two pointers to
# text, then two 32-bit numbers. Read by hand, because clang does not always describe the type.
FUNCTION_OFFSET, LINE_OFFSET = 8, 16
# A wait that has an object leads to it by one of these members; the last is what is printed.
OBJECTS = (
    ("fiber", ("target_", "id_")),
    ("fd", ("fd",)),
    ("fd", ("on_", "fd")),
    ("fd", ("from_", "fd")),
)


def type_of(name):
    try:
        return gdb.lookup_type(f"ringlet::{name}")
    except gdb.error:
        raise gdb.GdbError(NO_TYPES) from None


def object_at(address, kind):
    """The object there. Not by a pointer to it: gdb would look for its most derived type, and warn
    where that has no debug information."""
    return gdb.Value(address).cast(kind.array(0).pointer()).dereference()[0]


def read_number(address, size=8):
    memory = gdb.selected_inferior().read_memory(address, size)
    return int.from_bytes(memory.tobytes(), "little")


def read_text(address):
    """The null-terminated text there."""
    if address == 0:
        return ""
    return gdb.Value(address).cast(gdb.lookup_type("char").pointer()).string(errors="replace")


def read_string(string):
    """A std::string: in libstdc++ it begins with a pointer to its text."""
    return read_text(read_number(int(string.address)))


class Place:
    """A std::source_location: an await or a spawn. The line is 0 if there is none."""

    def __init__(self, location):
        self.file, self.line, self.function = "", 0, ""
        impl = read_number(int(location.address))
        if impl != 0:
            self.file = read_text(read_number(impl))
            self.line = read_number(impl + LINE_OFFSET, 4)
            self.function = name_of(read_text(read_number(impl + FUNCTION_OFFSET)))

    def __str__(self):
        return f"{self.file}:{self.line}"

    def is_of_library(self):
        """Its headers are in a directory "ringlet", its sources below the directory that contains
        the source of the list of schedulers."""
        if re.search(r"/ringlet/((extend|detail)/)?\w+\.hpp$", self.file):
            return True
        symbol = gdb.lookup_global_symbol("ringlet_schedulers")
        if symbol is None:
            return False
        root = symbol.symtab.filename.removesuffix("sched/scheduler/all_schedulers.cpp")
        return re.match(rf"{re.escape(root)}(core|sched|net)/", self.file) is not None


def name_of(function):
    """g++ reports `void NAME(NAME(ARGUMENTS)::_Z...Frame*)`, clang `TYPE NAME(ARGUMENTS)`."""
    text, found, _ = function.rpartition("::_Z")
    closed = 0
    for i in range(len(text) - 1, -1, -1):
        closed += (text[i] == ")") - (text[i] == "(")
        if closed < 0:
            return text[i + 1 :]
    return function


def elements(head, kind, tag):
    """The elements of the intrusive_list that begins at this address. An element has a base that
    holds its links, and whose name contains the tag."""
    links = next(field for field in kind.fields() if tag in field.name)
    at = read_number(head)
    while at != head:
        yield object_at(at - links.bitpos // 8, kind)
        at = read_number(at)


def schedulers():
    """Those that run in this process, oldest first. Raises GdbError with a reason."""
    if gdb.selected_inferior().pid == 0:
        raise gdb.GdbError("no process or core file: attach, run, or use `core FILE`")
    try:
        known = int(gdb.parse_and_eval("(unsigned long)&ringlet_schedulers"))
    except gdb.error:
        raise gdb.GdbError(NO_RINGLET) from None
    head = read_number(known)
    if head == 0:
        return []  # run() has not been called.
    kind = type_of("extend::scheduler")
    return [Scheduler(one) for one in elements(head, kind, "all_schedulers_tag")]


class Scheduler:
    def __init__(self, record):
        self.address = int(record.address)
        self.fibers_head = int(record["fibers_"]["fibers_"].address)
        self.turn_time = int(record["turn_time_"])
        self.name = read_string(record["options_"]["name"])

    def fibers(self):
        kind = type_of("extend::fiber_base")
        return [Fiber(one) for one in elements(self.fibers_head, kind, "registry_tag")]

    def label(self):
        name = f' "{self.name}"' if self.name else ""
        thread = self.thread()
        on = f"on thread {thread.num}" if thread else f"at {self.address:#x}"
        return f"scheduler{name} {on}"

    def thread(self):
        """None where gdb cannot read the variables of threads."""
        here = gdb.lookup_global_symbol("ringlet::detail::scheduler_here")
        thread_before, frame_before = gdb.selected_thread(), gdb.selected_frame()
        try:
            for thread in gdb.selected_inferior().threads() if here else []:
                thread.switch()
                if int(here.value()) == self.address:
                    return thread
        except gdb.error:
            pass
        finally:
            thread_before.switch()
            frame_before.select()
        return None


def now(all_schedulers):
    """The steady time in nanoseconds, and whether it is exact. A core file does not record it: the
    last turn of any scheduler was later than all that happened before."""
    connection = gdb.selected_inferior().connection
    if connection is not None and connection.type == "native":
        return time.clock_gettime_ns(time.CLOCK_MONOTONIC), True
    return max((one.turn_time for one in all_schedulers), default=0), False


class Fiber:
    def __init__(self, record):
        self.record = record
        self.id = int(record["id_"])
        self.wait = record["wait_"]
        self.is_running = int(self.wait["type"]) == 0
        self.has_started = bool(record["started_"])

        extras = read_number(int(record["extras_"].address))  # A unique_ptr.
        self.extras = object_at(extras, type_of("detail::fiber_extras")) if extras else None

    def name(self):
        return read_string(self.extras["name"]) if self.extras else ""

    def has_greenlets(self):
        return self.extras and read_number(int(self.extras["greenlets"].address), 16) != 0

    def awaits(self):
        """The places where the coroutines of the fiber await, innermost first. While it runs, those
        that were suspended and have not returned: none that may belong to a dropped greenlet."""
        is_known = self.has_started and not (self.is_running and self.has_greenlets())
        frame = self.wait["at"] if is_known else 0
        while int(frame) != 0:
            place = Place(frame["site"])
            if place.line != 0:  # Line 0: the joint below the calls of a greenlet.
                yield place
            frame = frame["parent"]

    def awaits_to_show(self):
        """Without those inside the library, unless there are no others: as dump() does."""
        every = list(self.awaits())
        return [place for place in every if not place.is_of_library()] or every

    def state(self, time_now, is_exact):
        if self.is_running:
            return "running"
        text = read_text(int(self.wait["type"]["name"]))
        if not self.has_started:
            return f"{text}, has not begun"
        if int(self.wait["type"]["describe"]) != 0:
            text += self.object()
        since = int(self.wait["since"])
        if since == 0 or time_now <= since:
            return text
        return f"{text}, for {'' if is_exact else 'at least '}{(time_now - since) / 1e9:.3f} s"

    def object(self):
        """What exactly it waits for. The type of the wait is a static member of its class, so the
        name of that variable names the class."""
        symbol = gdb.execute(f"info symbol {int(self.wait['type']):#x}", to_string=True)
        owner = re.match(r"(.*)::type( \+ \d+)? in section", symbol)
        if owner is None:
            return ""
        base = self.wait["object"]
        for kind, path in OBJECTS:
            try:
                value = base.cast(gdb.lookup_type("ringlet::extend::wait_base").pointer())
                value = value.cast(gdb.lookup_type(owner[1]).pointer())
                for member in path:
                    value = value[member]
                return f" {kind} {int(value)}"
            except gdb.error:
                continue  # The type is not known, or has no such member.
        return f" (object {int(base):#x})"

    def heading(self, time_now, is_exact):
        name = self.name()
        quoted = f' "{name}"' if name else ""
        return f"fiber {self.id}{quoted}: {self.state(time_now, is_exact)}"

    def origin(self):
        parent = int(self.record["parent_id_"])
        by = f" by fiber {parent}" if parent else ""
        return f"spawned at {Place(self.record['spawned_at_'])}{by}"


def show(command, fiber, clock):
    """In a process that has overwritten its memory, the other fibers may be whole."""
    try:
        command(fiber, clock)
    except gdb.MemoryError as error:
        print(f"  fiber {fiber.id}: its records are damaged: {error}")


class RingletCommand(gdb.Command):
    """What the fibers of a ringlet program wait for: `ringlet fibers`, `ringlet bt ID`."""

    def __init__(self):
        super().__init__("ringlet", gdb.COMMAND_STACK, prefix=True)


class FibersCommand(gdb.Command):
    """List all fibers of all schedulers: id, name, what each waits for and for how long, the
    innermost await, and where it was spawned."""

    def __init__(self):
        super().__init__("ringlet fibers", gdb.COMMAND_STACK)

    def invoke(self, argument, from_tty):
        if argument:
            raise gdb.GdbError("usage: ringlet fibers")
        every = schedulers()
        if not every:
            print("no scheduler is running: the program is outside of run()")
        clock = now(every)
        for scheduler in every:
            fibers = scheduler.fibers()
            print(f"{scheduler.label()}, {len(fibers)} fiber{'s' * (len(fibers) != 1)}")
            for fiber in fibers:
                show(self.show, fiber, clock)

    def show(self, fiber, clock):
        at = next((f", at {p} in {p.function}" for p in fiber.awaits_to_show()), "")
        print(f"  {fiber.heading(*clock)}{at}, {fiber.origin()}")


class BacktraceCommand(gdb.Command):
    """Show the chain of awaits of a fiber, innermost first: ringlet bt ID, or ringlet bt all. Ids
    count per scheduler: where several schedulers have the id, each of these fibers is shown."""

    def __init__(self):
        super().__init__("ringlet bt", gdb.COMMAND_STACK)

    def invoke(self, argument, from_tty):
        if argument != "all" and not argument.isdecimal():
            raise gdb.GdbError("usage: ringlet bt ID, or ringlet bt all")
        every = schedulers()
        clock = now(every)
        has_shown = False
        for scheduler in every:
            fibers = [f for f in scheduler.fibers() if argument == "all" or f.id == int(argument)]
            if fibers:
                has_shown = True
                print(scheduler.label())
            for fiber in fibers:
                show(self.show, fiber, clock)
        if not has_shown and argument != "all":
            raise gdb.GdbError(f"there is no fiber {argument}: it has ended, or never was; "
                               "`ringlet fibers` lists all")

    def show(self, fiber, clock):
        print(fiber.heading(*clock))
        if fiber.is_running:
            print("    (its innermost calls are on the stack of the thread: use `bt` there)")
        for number, place in enumerate(fiber.awaits_to_show()):
            print(f"#{number:<3}{place.function} at {place}")
        print(f"    {fiber.origin()}")


RingletCommand()
FibersCommand()
BacktraceCommand()
