/* Files of the maildrop, read.  Floor 3. */
#include "config.h"

#include "common/io/dropfile.h"

#include <stdlib.h>

#include "common/base/err.h"
#include "common/base/hash.h"
#include "common/io/file.h"
#include "common/proto/intake.h"

/* Exactly N bytes of the file, appended to OUT. */
static int
read_bytes(const struct hb_dropfile *f, size_t n, struct hb_buf *out)
{
	unsigned char *room;
	ssize_t got;

	if (hb_buf_reserve(out, n, &room) < 0)
		return HB_E_LIMIT;
	got = hb_read_some(f->fd, room, n);
	if (got < 0)
		return HB_E_IO;
	hb_buf_added(out, (size_t)got);
	return (size_t)got == n ? 0 : HB_E_MORE;
}

static int
take_rcpts(struct hb_span s, size_t most, struct hb_arena *a,
    struct hb_dropped *out)
{
	size_t cap = 16, n = 0;
	struct hb_rcpt *v = hb_calloc(cap, sizeof(*v)), r;
	int got, err = 0;

	while (err == 0 && (got = hb_drop_rcpt(&s, &r)) > 0) {
		if (n == cap)
			v = hb_realloc(v, (cap *= 2) * sizeof(*v));
		err = n == most ? HB_E_LIMIT
		    : hb_intake_rcpt(&r, a, &v[n]);
		if (err == 0)
			v[n].idx = (uint32_t)n;
		n += err == 0;
	}
	out->n = n;
	out->rcpts = hb_arena_alloc(a, n * sizeof(*v));
	memcpy(out->rcpts, v, n * sizeof(*v));
	free(v);
	if (err == 0 && got < 0)
		err = got;
	return err < 0 ? err : n == 0 ? HB_E_SYNTAX : 0;
}

static int
take_records(struct hb_dropfile *f, size_t most, struct hb_span all,
    struct hb_arena *a, struct hb_dropped *out)
{
	int err = hb_drop_env(hb_span_head(all, f->head.env_n), &out->env);

	f->crc = hb_crc32c(0, all);
	if (err == 0)
		err = hb_intake_env(&out->env, a);
	if (err == 0)
		err = take_rcpts(hb_span_from(all, f->head.env_n), most, a, out);
	return err;
}

int
hb_dropfile_begin(struct hb_dropfile *f, uint64_t size, size_t most,
    struct hb_arena *a, struct hb_dropped *out)
{
	struct hb_buf b = HB_BUF_INIT(0);
	int err = read_bytes(f, HB_DROP_HEAD, &b);

	memset(out, 0, sizeof(*out));
	if (err == 0)
		err = hb_drop_head_parse(hb_buf_span(&b), &f->head);
	if (err == 0 && size != HB_DROP_HEAD + f->head.body_n +
	    f->head.env_n + f->head.rcpts_n)
		err = HB_E_MORE;
	hb_buf_clear(&b);
	if (err == 0)
		err = read_bytes(f, (size_t)f->head.env_n + f->head.rcpts_n, &b);
	if (err == 0)
		err = take_records(f, most,
		    hb_arena_span(a, hb_buf_span(&b)), a, out);
	f->left = err == 0 ? f->head.body_n : 0;
	hb_buf_free(&b);
	return err;
}

int
hb_dropfile_more(struct hb_dropfile *f, size_t n, struct hb_buf *out)
{
	size_t had = out->n;
	int err;

	if (f->left < n)
		n = (size_t)f->left;
	err = read_bytes(f, n, out);
	if (err < 0)
		return err;
	f->crc = hb_crc32c(f->crc, hb_span_from(hb_buf_span(out), had));
	f->left -= n;
	return f->left == 0 && f->crc != f->head.crc ? HB_E_CORRUPT : 0;
}
