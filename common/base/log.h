/*
 * Log records: one event with keys and values (logkeys.def).  Floor 0.  This
 * file formats a record; the adaptor that owns a descriptor writes it
 * (hb_log_set_sink).  Values are quoted and escaped where needed, so that
 * remote text cannot forge a record.  Bodies, passwords and AUTH exchanges are
 * never logged.
 */
#ifndef HB_BASE_LOG_H
#define HB_BASE_LOG_H

#include "common/base/buf.h"

enum hb_level { HB_LOG_ERROR, HB_LOG_WARN, HB_LOG_INFO, HB_LOG_DEBUG };
enum hb_log_format { HB_LOG_TEXT, HB_LOG_JSON };

enum hb_event {
#define HB_EVENT(sym, word) HB_EV_##sym,
#include "common/base/logkeys.def"
	HB_EVENT_TOTAL
};

enum hb_key {
	HB_K_END, /* ends a list of pairs */
#define HB_KEY(sym, word) HB_K_##sym,
#include "common/base/logkeys.def"
	HB_KEY_TOTAL
};

struct hb_kv {
	enum hb_key key;
	enum { HB_KV_SPAN, HB_KV_INT, HB_KV_ID, HB_KV_SKIP } type;
	struct hb_span s;
	int64_t i;
};

/* Borrows the bytes until the record is made. */
static inline struct hb_kv
hb_kv_span(enum hb_key key, struct hb_span s)
{
	return (struct hb_kv){ .key = key, .type = HB_KV_SPAN, .s = s };
}
static inline struct hb_kv
hb_kv_str(enum hb_key key, const char *s)
{
	return hb_kv_span(key, hb_span_str(s));
}
static inline struct hb_kv
hb_kv_int(enum hb_key key, int64_t i)
{
	return (struct hb_kv){ .key = key, .type = HB_KV_INT, .i = i };
}
/* A message id, printed as 16 hexadecimal digits. */
static inline struct hb_kv
hb_kv_id(enum hb_key key, uint64_t id)
{
	return (struct hb_kv){ .key = key, .type = HB_KV_ID, .i = (int64_t)id };
}
/* KV if COND, otherwise a pair that is left out of the record. */
static inline struct hb_kv
hb_kv_if(bool cond, struct hb_kv kv)
{
	if (!cond)
		kv.type = HB_KV_SKIP;
	return kv;
}

/*
 * HB_LOG(HB_LOG_INFO, HB_EV_ACCEPT, hb_kv_id(HB_K_MSG, id), ...);
 * Records below the current level are not formatted.
 */
#define HB_LOG(level, ev, ...)                                                 \
	do {                                                                   \
		if ((level) <= hb_log_level())                                 \
			hb_log((level), (ev),                                  \
			    (const struct hb_kv[]){                            \
				__VA_ARGS__, { .key = HB_K_END } });           \
	} while (0)

void hb_log(enum hb_level level, enum hb_event ev, const struct hb_kv *kv);

/* Appends one record with its newline to OUT (an unbounded buffer). */
struct hb_log_head {
	int64_t now_ms; /* wall clock */
	const char *role;
	int pid;
	enum hb_level level;
};
void hb_log_format(struct hb_buf *out, enum hb_log_format format,
    const struct hb_log_head *head, enum hb_event ev, const struct hb_kv *kv);

/* RECORD ends with a newline.  The default sink writes to standard error. */
typedef void (*hb_log_sink_fn)(void *ctx, enum hb_level level,
    struct hb_span record);
void hb_log_set_sink(hb_log_sink_fn fn, void *ctx);
void hb_log_set_role(const char *role, int pid); /* borrows ROLE forever */
void hb_log_set_format(enum hb_log_format format);
void hb_log_set_level(enum hb_level level);
enum hb_level hb_log_level(void);
/* Sets the clock of log records.  By default there is none: their time is 0. */
void hb_log_set_clock(int64_t (*now_ms)(void));

const char *hb_level_name(enum hb_level level);
const char *hb_event_name(enum hb_event ev);
/* Returns 0 or HB_E_SYNTAX. */
int hb_level_parse(struct hb_span s, enum hb_level *out) HB_MUSTCHECK;

#endif
