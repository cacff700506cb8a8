/* Tokens of a role become a jansson value.  Floor 4.  A role that sends an
 * invalid value, or too much, violates the protocol. */
#include "config.h"

#include "common/base/timefmt.h"
#include "common/base/utf8.h"
#include "common/control/control.h"

enum {
	TREE_MAX = 64 << 20,
	ITEM_COST = 100,
	PART = 200 /* of the array of a long row */
};

/* JSON is UTF-8: any other byte becomes U+FFFD. */
json_t *
ctl_utf8_string(struct hb_span s)
{
	struct hb_buf b = HB_BUF_INIT(0);
	json_t *v;

	while (s.n > 0) {
		size_t n = hb_utf8_length(s);

		if (n > 0)
			hb_buf_add(&b, hb_span_head(s, n));
		else
			hb_buf_adds(&b, "\xef\xbf\xbd");
		s = hb_span_from(s, n > 0 ? n : 1);
	}
	v = json_stringn(b.n > 0 ? (const char *)b.p + b.off : "", b.n);
	hb_buf_free(&b);
	return v;
}

static json_t *
make_string(const struct ctl_tree *t, const struct ipc_ctl_item *m)
{
	json_t *v = json_stringn(m->str.n > 0 ? (const char *)m->str.p : "",
	    m->str.n);

	if (v != NULL)
		return v;
	return t->raw ? json_stringn_nocheck((const char *)m->str.p, m->str.n)
		      : ctl_utf8_string(m->str);
}

static json_t *
make_time(const struct ctl_tree *t, const struct ipc_ctl_item *m)
{
	char text[HB_TIME_RFC3339_SIZE];

	hb_time_rfc3339(m->num, text);
	return json_string(text);
}

static json_t *
make_int(const struct ctl_tree *t, const struct ipc_ctl_item *m)
{
	return json_integer(m->num);
}

static json_t *
make_bool(const struct ctl_tree *t, const struct ipc_ctl_item *m)
{
	return json_boolean(m->num != 0);
}

static json_t *
make_null(const struct ctl_tree *t, const struct ipc_ctl_item *m)
{
	return json_null();
}

static json_t *
make_object(const struct ctl_tree *t, const struct ipc_ctl_item *m)
{
	return json_object();
}

static json_t *
make_array(const struct ctl_tree *t, const struct ipc_ctl_item *m)
{
	return json_array();
}

static json_t *(*const make[HB_ITEM_COUNT])(const struct ctl_tree *t,
    const struct ipc_ctl_item *m) = {
	[HB_ITEM_STR] = make_string,
	[HB_ITEM_INT] = make_int,
	[HB_ITEM_TIME] = make_time,
	[HB_ITEM_BOOL] = make_bool,
	[HB_ITEM_NULL] = make_null,
	[HB_ITEM_OBJECT] = make_object,
	[HB_ITEM_ARRAY] = make_array,
};

/* A row of the outer array is complete. */
static void
give_away(struct ctl_tree *t)
{
	if (t->element == NULL || t->depth != 1)
		return;
	t->element(t->ctx, json_array_get(t->root, 0));
	json_array_clear(t->root);
	t->bytes = 0;
}

/* The array of a row (depth 3: rows, row, array) has grown long. */
static void
give_part(struct ctl_tree *t)
{
	json_t *in = t->depth == 3 ? t->open[2] : NULL;

	if (t->part == NULL || in == NULL || !json_is_array(in) ||
	    json_array_size(in) < PART)
		return;
	t->part(t->ctx, t->open[1]);
	json_array_clear(in);
	t->bytes = 0;
}

static const char *
close_innermost(struct ctl_tree *t)
{
	if (t->depth == 0)
		return "a token closes what is not open";
	if (--t->depth == 0)
		t->whole = true;
	else
		give_away(t);
	give_part(t);
	return NULL;
}

/* Puts V (taken) into the innermost open value, or makes it the outermost. */
static const char *
place(struct ctl_tree *t, json_t *v, struct hb_span key)
{
	json_t *in = t->depth > 0 ? t->open[t->depth - 1] : NULL;
	int r = 0;

	if (in == NULL)
		t->root = v;
	else if (json_is_array(in))
		r = json_array_append_new(in, v);
	else
		r = json_object_setn_new(in, (const char *)key.p, key.n, v);
	return r == 0 ? NULL : "a token has no valid key";
}

const char *
ctl_tree_add(struct ctl_tree *t, const struct ipc_ctl_item *m)
{
	bool in_object = t->depth > 0 &&
	    json_is_object(t->open[t->depth - 1]);
	bool opens = m->kind == HB_ITEM_OBJECT || m->kind == HB_ITEM_ARRAY;
	const char *why;
	json_t *v;

	t->bytes += ITEM_COST + m->str.n + m->key.n;
	if (t->whole || t->bytes > TREE_MAX)
		return t->whole ? "a token behind the value"
				: "the answer is too long";
	if (m->kind == HB_ITEM_CLOSE)
		return close_innermost(t);
	if (in_object != (m->key.n > 0))
		return "a token's key does not fit";
	if (t->depth == 0 && t->element != NULL && m->kind != HB_ITEM_ARRAY)
		return "the answer is no list";
	if (opens && t->depth == CTL_DEPTH)
		return "the answer is nested too deeply";
	v = make[m->kind](t, m);
	why = place(t, v, m->key);
	if (why != NULL)
		return why;
	if (opens)
		t->open[t->depth++] = v;
	else if (t->depth == 0)
		t->whole = true;
	else
		give_away(t);
	return NULL;
}

void
ctl_tree_free(struct ctl_tree *t)
{
	if (t->root != NULL)
		json_decref(t->root);
	t->root = NULL;
}
