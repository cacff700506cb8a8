/* A message in mailbox form, and the reporting of outcomes.  Floor 3. */
#include "config.h"

#include "delivery/local/box-priv.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "common/base/mem.h"
#include "common/io/file.h"

enum { PIECE = 65536 };

void
local_outcome(struct hb_outcome *out, enum hb_result result, unsigned code,
    const char *status, enum hb_reason reason)
{
	out->result = (uint32_t)result;
	out->code = code;
	out->status = hb_span_str(status);
	out->reason = (uint32_t)reason;
}

void
local_delivered(struct hb_outcome *out, struct hb_buf *text, const char *what)
{
	local_outcome(out, HB_RESULT_OK, 250, "2.0.0", HB_REASON_OK);
	hb_buf_addf(text, "delivered to %s", what);
}

void
local_trouble(struct hb_outcome *out, struct hb_buf *text, const char *what,
    int err)
{
	bool full = err == ENOSPC || err == EDQUOT || err == EFBIG;

	local_outcome(out, HB_RESULT_DEFER, full ? 452 : 451,
	    full ? LOCAL_FULL : "4.3.0", HB_REASON_MAILBOX_TEMP);
	if (text->n > 0)
		return;
	hb_buf_addf(text, "%s: %s", what, strerror(err));
	if (err == EACCES || err == EPERM)
		hb_buf_addf(text, " (as uid %u)", (unsigned)geteuid());
}

bool
local_is_ours(const struct stat *st)
{
	return st->st_uid == geteuid() || st->st_uid == 0;
}

int64_t
local_clock_us(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	return (int64_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

static int
write_filtered(int fd, struct local_filter *f, struct hb_span in)
{
	struct hb_buf out = HB_BUF_INIT(0);
	int r = 0;

	while (in.n > 0 && r == 0) {
		hb_buf_clear(&out);
		local_filter_feed(f, hb_span_head(in, PIECE), &out);
		r = hb_write_all(fd, hb_buf_span(&out));
		in = hb_span_from(in, PIECE);
	}
	hb_buf_free(&out);
	return r;
}

static int
write_large(int fd, struct local_filter *f, int from)
{
	unsigned char *piece = hb_malloc(PIECE);
	off_t at = 0;
	ssize_t n;
	int r = 0;

	while ((n = pread(from, piece, PIECE, at)) != 0) {
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			r = -errno;
		else
			r = write_filtered(fd, f, hb_span(piece, (size_t)n));
		if (r < 0)
			break;
		at += n;
	}
	free(piece);
	return r;
}

int
local_write(int fd, const struct local_message *m, struct hb_span first,
    bool mbox)
{
	struct local_filter f;
	struct hb_buf text = HB_BUF_INIT(0);
	int r;

	local_filter_init(&f, mbox);
	hb_buf_add(&text, first);
	local_head(m->env, m->rcpt, &text);
	r = hb_write_all(fd, hb_buf_span(&text));
	if (r == 0)
		r = write_filtered(fd, &f, m->bytes);
	if (r == 0 && m->fd >= 0)
		r = write_large(fd, &f, m->fd);
	hb_buf_clear(&text);
	local_filter_end(&f, &text);
	if (mbox)
		hb_buf_adds(&text, "\n");
	if (r == 0)
		r = hb_write_all(fd, hb_buf_span(&text));
	hb_buf_free(&text);
	return r;
}
