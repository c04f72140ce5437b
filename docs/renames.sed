# Converts a program written for commit 1c2f7b4 to the names of today:
#
#   sed -E -i -f docs/renames.sed FILES...
#
# Then compile. Look at four things yourself: variables, strings and trailing comments with the words
# group, remote, timer or until that a pattern below has caught; names for authors of waits that are
# used without `ringlet::` (add `using namespace ringlet::extend;`); classes that derive from one of
# the library's; options of joinall() and wait() that stand on a line of their own.

# Headers.
s!<ringlet/duplex\.hpp>!<ringlet/two_way_generator.hpp>!
s!<ringlet/group\.hpp>!<ringlet/fiber_set.hpp>!
s!<ringlet/remote\.hpp>!<ringlet/scheduler_handle.hpp>!
s!<ringlet/until\.hpp>!<ringlet/time_limit.hpp>!
s!<ringlet/(assert|buffer_pool|buffer_queue|context|descriptor|ended_fibers|engine)\.hpp>!<ringlet/extend/\1.hpp>!
s!<ringlet/(fiber_base|intrusive_list|operation|operation_wait|scheduler|stream_waits)\.hpp>!<ringlet/extend/\1.hpp>!
s!<ringlet/(timer|wait)\.hpp>!<ringlet/extend/\1.hpp>!
s!<ringlet/(blocking_pool|frame_pool)\.hpp>!<ringlet/detail/\1.hpp>!

# Types.
/^ *\/\//!{
  s/\bduplex\b/two_way_generator/g
  s/\bremote\b([&*({>]|::| +[a-z_0-9]+([;({=,)]| =))/scheduler_handle\1/g
  s/\buntil([&(>]|::)/time_limit\1/g
  s/\buntil ([a-z_0-9:]+)([,)=;({]| =)/time_limit \1\2/g
  s/\bgroup([&*>]|::| +[a-z_]+[;({,)])/fiber_set\1/g
  s/\btimer([&*]|::| \{)/timer_entry\1/g
}
s/\bscheduler_guest\b/shutdown_hook/g
s/\bunobserved_error\b/unhandled_error/g

# Values, options and functions.
s/\berrc::exited\b/errc::fiber_cancelled/g
s/\boutcome::exited\b/outcome::cancelled/g
s/\berrc::cut_short\b/errc::partial_transfer/g
s/\bon_unobserved\b/on_unhandled_error/g
s/\.grace\b/.shutdown_timeout/g
s/\bwait\(([a-z_]+), *\{\.count = ([a-z0-9_]+)\}\)/wait_some(\1, \2)/g
s/\bwait\(([a-z_]+), *\{\.limit = ([^,}]+), \.count = ([a-z0-9_]+)\}\)/wait_some(\1, \3, \2)/g
s/(\bjoinall\([^;]*\{)\.limit = /\1.timeout = /g
s/\.live_fibers\(\)/.fibers().count()/g
s/\.for_each_fiber\(/.fibers().for_each(/g
s/\.add_hope\(\)/.external().begin()/g
s/\.remove_hope\(\)/.external().end()/g
s/\.add_guest\(/.hooks().add(/g
s/\b(engine|carrier)(\(\))?(\.|->)give_back\(/\1\2\3recycle_buffer(/g
s/\.carrier\(\)/.engine()/g
s/\b(suspend|wake)_with_hope\b/\1_external/g
s/\bhas_hope\b/is_external/g
s/\bringlet::current\(\)/ringlet::current_fiber()/g
s/(^|[^:_.>a-zA-Z0-9])current\(\)/\1current_fiber()/g

# Names for authors of waits and engines.
s/\bringlet::(context|scope|ready_queue|frame_record|wait_record|wait_type|cancel_reason)\b/ringlet::extend::\1/g
s/\bringlet::(engine|operation|opcode|completion|buffer_pool|buffer_queue|list_hook|intrusive_list)\b/ringlet::extend::\1/g
s/\bringlet::(never|steady_ns|make_engine|make_uring_engine|make_epoll_engine|posted_work)\b/ringlet::extend::\1/g
s/\bringlet::(scheduler|fiber_base|current_scheduler|timer_entry|timer_queue|wait_base)\b/ringlet::extend::\1/g
s/\bringlet::(list_wait|two_phase_wait|operation_wait|descriptor|direction|shutdown_hook)\b/ringlet::extend::\1/g
s/(^|[^:_a-zA-Z0-9])(current_scheduler|current_scheduler_or_null)\(/\1ringlet::extend::\2(/g
