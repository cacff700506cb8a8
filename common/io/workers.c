/* Number of processes of a role.  Floor 3. */
#include "config.h"

#include "common/io/workers.h"

#include <unistd.h>

unsigned
hb_worker_count(unsigned wanted)
{
	long cores = sysconf(_SC_NPROCESSORS_ONLN);

	if (wanted == 0)
		wanted = cores > 3 ? (unsigned)cores / 2 : 1;
	return wanted < HB_MOST_WORKERS ? wanted : HB_MOST_WORKERS;
}
