/*
 * How many processes of a kind there are.  Floor 3: asks the machine, so not
 * from inside a sandbox.
 */
#ifndef HB_IO_WORKERS_H
#define HB_IO_WORKERS_H

#define HB_MOST_WORKERS 64u

/* WANTED by the configuration; 0: by the number of cores. */
unsigned hb_worker_count(unsigned wanted);

#endif
