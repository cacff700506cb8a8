/*
 * Destination of log records.  Floor 3.
 *
 * Each process gathers its records and writes them once per turn of the loop.
 * Records that the log cannot take wait in a bounded buffer; further ones are
 * dropped and counted, and one record reports the number when writing resumes.
 * Mail never waits for the log.
 */
#ifndef HB_IO_LOGSINK_H
#define HB_IO_LOGSINK_H

#include "common/io/loop.h"
#include "common/proto/conf.h"

enum hb_logfd_kind { HB_LOGFD_FILE, HB_LOGFD_SYSLOG }; /* FILE or stderr */

/* Starts gathering records; until a descriptor is set they go to standard
 * error.  Calls LOST (may be NULL) when syslog's socket is gone. */
void hb_logsink_start(struct hb_loop *l, void (*lost)(void *ctx), void *ctx);
/* Takes FD; replaces the previous one. */
void hb_logsink_set(int fd, enum hb_logfd_kind kind,
    enum hb_log_format format, enum hb_level level);
/* Writes waiting records as far as the log takes them now: before an exit. */
void hb_logsink_flush(void);
uint64_t hb_logsink_dropped(void);

/* The parent's side: only the parent may open logs. */
struct hb_logdest {
	int fd;
	enum hb_logfd_kind kind;
	bool up; /* false: syslog is away; records wait until it is opened again */
};
/* Opens the log that SPEC names.  0 or -errno. */
int hb_logdest_open(const struct hb_logspec *spec,
    struct hb_logdest *out) HB_MUSTCHECK;

#endif
