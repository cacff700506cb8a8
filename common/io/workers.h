/*
 * Number of processes of a role.  Floor 3: it reads from the system, so do not
 * call it inside a sandbox.
 */
#ifndef HB_IO_WORKERS_H
#define HB_IO_WORKERS_H

#define HB_MOST_WORKERS 64u

/* WANTED: from the configuration; 0: by the number of cores. */
unsigned hb_worker_count(unsigned wanted);

#endif
