/*
 * Requests to the daemon: how hauberkctl, mailq and sendmail use the control
 * socket.  Floor 3.
 */
#ifndef HB_IO_CTLCLIENT_H
#define HB_IO_CTLCLIENT_H

#include <stdio.h>

#include "common/proto/ctlwire.h"

/* Path of the control socket that configuration FILE names.  A path is returned
 * even if FILE has mistakes or cannot be read.  Returns owned. */
char *ctl_socket_of(const char *file);

/*
 * Sends the request, copies the answer to TO and standard error, and returns
 * the exit code; EX_UNAVAILABLE after a message if nobody answers.  INPUT: sent
 * after the request, to its end, or NULL.  WAIT_END: also waits until the
 * process that made the socket has ended.
 */
int ctl_ask_daemon(const char *socket, const struct hb_ctl_question *q,
    FILE *input, FILE *to, bool wait_end) HB_MUSTCHECK;

#endif
