/*
 * Asking the daemon: how hauberkctl, mailq and sendmail talk to the control
 * socket.  Floor 3.
 */
#ifndef HB_TOOLS_CTLCLIENT_H
#define HB_TOOLS_CTLCLIENT_H

#include <stdio.h>

#include "common/proto/ctlwire.h"

/* Path of the control socket that configuration FILE names; a file with
 * mistakes, or one that cannot be read, still gives one.  Returns owned. */
char *ctl_socket_of(const char *file);

/*
 * Sends the question, copies the answer to TO and standard error, and
 * returns the exit code; EX_UNAVAILABLE after a message when nobody answers.
 * INPUT: sent behind the question, to its end; NULL: nothing is.
 * WAIT_END: also waits until the process that made the socket has ended.
 */
int ctl_ask_daemon(const char *socket, const struct hb_ctl_question *q,
    FILE *input, FILE *to, bool wait_end) HB_MUSTCHECK;

#endif
