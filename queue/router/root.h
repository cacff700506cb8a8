/* The router's single check: who reads root's mail?  Floor 4. */
#ifndef QUEUE_ROUTER_ROOT_H
#define QUEUE_ROUTER_ROOT_H

#include <stdbool.h>

/* The main of -r: reads the configuration (hb_conf_dump) from standard input
 * and writes a line for each address that nobody reads.  ACCOUNTS: mailboxes
 * are written as their owners. */
int rt_root_main(bool accounts);

#endif
