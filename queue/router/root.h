/* The router's program that answers once: who reads root's mail?  Floor 4. */
#ifndef QUEUE_ROUTER_ROOT_H
#define QUEUE_ROUTER_ROOT_H

#include <stdbool.h>

/* The main of -r: the configuration (hb_conf_dump) comes on standard input, a
 * line for each address that nobody reads goes out.  ACCOUNTS: mailboxes are
 * written as their owners. */
int rt_root_main(bool accounts);

#endif
