// SIGUSR1 asks ranks to stop. It ends a process that has not come so far yet as to expect it.
#pragma once

#include <sys/types.h>

namespace kiln {

// Whether the process blocks or catches SIGUSR1.
bool heeds_stop(pid_t process);

// Whether mpirun does, has started `local_ranks` of this program here (0: something, here or on the
// way to other machines), and none of them would be ended by what mpirun hands on.
bool launcher_heeds_stop(pid_t launcher, int local_ranks);

}  // namespace kiln
