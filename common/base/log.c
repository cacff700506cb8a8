/* Log records.  Floor 0. */
#include "common/base/log.h"

#include <stdio.h>

#include "common/base/err.h"
#include "common/base/mem.h"
#include "common/base/timefmt.h"
#include "common/base/utf8.h"

static const char *const event_names[] = {
#define HB_EVENT(sym, word) [HB_EV_##sym] = word,
#include "common/base/logkeys.def"
};
static const char *const key_names[] = {
	[HB_K_END] = "",
#define HB_KEY(sym, word) [HB_K_##sym] = word,
#include "common/base/logkeys.def"
};
static const char *const level_names[] = { "error", "warn", "info", "debug" };

static void
stderr_sink(void *ctx, enum hb_level level, struct hb_span record)
{
	fwrite(record.p, 1, record.n, stderr);
}

static struct {
	hb_log_sink_fn sink;
	void *sink_ctx;
	const char *role;
	int pid;
	enum hb_log_format format;
	enum hb_level level;
	int64_t (*now_ms)(void);
	struct hb_buf line;
} lg = { .sink = stderr_sink, .role = "-", .level = HB_LOG_INFO };

void
hb_log_set_sink(hb_log_sink_fn fn, void *ctx)
{
	lg.sink = fn != NULL ? fn : stderr_sink;
	lg.sink_ctx = ctx;
}

void
hb_log_set_role(const char *role, int pid)
{
	lg.role = role;
	lg.pid = pid;
}

void
hb_log_set_format(enum hb_log_format format)
{
	lg.format = format;
}

void
hb_log_set_level(enum hb_level level)
{
	lg.level = level;
}

enum hb_level
hb_log_level(void)
{
	return lg.level;
}

void
hb_log_set_clock(int64_t (*now_ms)(void))
{
	lg.now_ms = now_ms;
}

const char *
hb_event_name(enum hb_event ev)
{
	return event_names[ev];
}

const char *
hb_level_name(enum hb_level level)
{
	return level_names[level];
}

int
hb_level_parse(struct hb_span s, enum hb_level *out)
{
	for (size_t i = 0; i < HB_ARRAY_LEN(level_names); i++)
		if (hb_span_eq_nocase(s, hb_span_str(level_names[i]))) {
			*out = (enum hb_level)i;
			return 0;
		}
	return HB_E_SYNTAX;
}

static bool
is_plain(unsigned char c)
{
	return c > 0x20 && c < 0x7f && c != '"' && c != '\\' && c != '=';
}

static bool
needs_quotes(struct hb_span s)
{
	for (size_t i = 0; i < s.n; i++)
		if (!is_plain(s.p[i]))
			return true;
	return s.n == 0;
}

/* Text records show each odd byte as \xNN: they are read on terminals. */
static void
put_quoted(struct hb_buf *out, struct hb_span s)
{
	size_t from = 0;

	hb_buf_adds(out, "\"");
	for (size_t i = 0; i < s.n; i++) {
		unsigned char c = s.p[i];

		if (c >= 0x20 && c < 0x7f && c != '"' && c != '\\')
			continue;
		hb_buf_add(out, hb_span(s.p + from, i - from));
		from = i + 1;
		if (c == '"' || c == '\\')
			hb_buf_addf(out, "\\%c", c);
		else
			hb_buf_addf(out, "\\x%02x", c);
	}
	hb_buf_add(out, hb_span_from(s, from));
	hb_buf_adds(out, "\"");
}

static void
put_text(struct hb_buf *out, const struct hb_kv *kv)
{
	hb_buf_addf(out, " %s=", key_names[kv->key]);
	if (kv->type == HB_KV_INT)
		hb_buf_addf(out, "%lld", (long long)kv->i);
	else if (kv->type == HB_KV_ID)
		hb_buf_addf(out, "%016llx", (unsigned long long)kv->i);
	else if (needs_quotes(kv->s))
		put_quoted(out, kv->s);
	else
		hb_buf_add(out, kv->s);
}

/* V as RFC 8259 s7 escapes it, above U+FFFF by two surrogates. */
static void
put_escape(struct hb_buf *out, uint32_t v)
{
	if (v > 0xFFFF) {
		hb_buf_addf(out, "\\u%04x", 0xD7C0 + (v >> 10));
		v = 0xDC00 | (v & 0x3FF);
	}
	hb_buf_addf(out, "\\u%04x", v);
}

/* UTF-8 stays what it is, but for characters that hide or turn text around.  A
 * byte that belongs to none stands there as U+00NN. */
static void
put_json_string(struct hb_buf *out, struct hb_span s)
{
	hb_buf_adds(out, "\"");
	while (s.n > 0) {
		size_t n = hb_utf8_length(s);
		struct hb_span c = hb_span_head(s, n > 0 ? n : 1);

		if (n == 0 || c.p[0] < 0x20 || c.p[0] == 0x7f)
			put_escape(out, c.p[0]);
		else if (n > 1 && hb_utf8_is_hidden(c))
			put_escape(out, hb_utf8_value(c));
		else if (c.p[0] == '"' || c.p[0] == '\\')
			hb_buf_addf(out, "\\%c", c.p[0]);
		else
			hb_buf_add(out, c);
		s = hb_span_from(s, c.n);
	}
	hb_buf_adds(out, "\"");
}

static void
put_json(struct hb_buf *out, const struct hb_kv *kv)
{
	hb_buf_addf(out, ",\"%s\":", key_names[kv->key]);
	if (kv->type == HB_KV_INT)
		hb_buf_addf(out, "%lld", (long long)kv->i);
	else if (kv->type == HB_KV_ID)
		hb_buf_addf(out, "\"%016llx\"", (unsigned long long)kv->i);
	else
		put_json_string(out, kv->s);
}

void
hb_log_format(struct hb_buf *out, enum hb_log_format format,
    const struct hb_log_head *head, enum hb_event ev, const struct hb_kv *kv)
{
	char when[HB_TIME_RFC3339_SIZE];
	bool json = format == HB_LOG_JSON;

	hb_time_rfc3339(head->now_ms, when);
	hb_buf_addf(out,
	    json ? "{\"time\":\"%s\",\"role\":\"%s\",\"pid\":%d,"
		   "\"level\":\"%s\",\"ev\":\"%s\""
		 : "%s %s[%d] %s ev=%s",
	    when, head->role, head->pid, level_names[head->level],
	    event_names[ev]);
	for (; kv->key != HB_K_END; kv++) {
		if (kv->type == HB_KV_SKIP)
			continue;
		if (json)
			put_json(out, kv);
		else
			put_text(out, kv);
	}
	hb_buf_adds(out, json ? "}\n" : "\n");
}

void
hb_log(enum hb_level level, enum hb_event ev, const struct hb_kv *kv)
{
	struct hb_log_head head = {
		.now_ms = lg.now_ms != NULL ? lg.now_ms() : 0,
		.role = lg.role,
		.pid = lg.pid,
		.level = level,
	};

	if (level > lg.level)
		return;
	hb_buf_clear(&lg.line);
	hb_log_format(&lg.line, lg.format, &head, ev, kv);
	lg.sink(lg.sink_ctx, level, hb_buf_span(&lg.line));
}
