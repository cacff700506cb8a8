/*
 * Answers to control requests: the tokens of one JSON value.  Floor 3.  KEY is
 * NULL inside arrays and for the outermost value.
 */
#ifndef HB_IO_CTLREPLY_H
#define HB_IO_CTLREPLY_H

#include "common/io/peer.h"

struct hb_ctl {
	struct hb_peer *peer;
	uint32_t ref;
};

void hb_ctl_str(const struct hb_ctl *c, const char *key, struct hb_span v);
void hb_ctl_text(const struct hb_ctl *c, const char *key, const char *v);
void hb_ctl_int(const struct hb_ctl *c, const char *key, int64_t v);
void hb_ctl_time(const struct hb_ctl *c, const char *key, int64_t ms);
void hb_ctl_bool(const struct hb_ctl *c, const char *key, bool v);
void hb_ctl_null(const struct hb_ctl *c, const char *key);
void hb_ctl_object(const struct hb_ctl *c, const char *key);
void hb_ctl_array(const struct hb_ctl *c, const char *key);
void hb_ctl_close(const struct hb_ctl *c);
/* Ends the answer.  EXIT: exit code of hauberkctl; TEXT: borrowed, or NULL. */
void hb_ctl_end(const struct hb_ctl *c, unsigned exit_code, const char *text);

#endif
