#pragma once

namespace flowdarts {

/// How many processes mpirun or srun started together with this one, itself included; 1 where none of them did.
int launched_processes();

}  // namespace flowdarts
