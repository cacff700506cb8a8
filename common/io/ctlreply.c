/* Answers to control requests.  Floor 3. */
#include "config.h"

#include "common/io/ctlreply.h"

static void
item(const struct hb_ctl *c, enum hb_item_kind kind, const char *key,
    struct hb_span str, int64_t num)
{
	struct ipc_ctl_item m = {
		.ref = c->ref,
		.kind = kind,
		.key = hb_span_str(key),
		.str = hb_span_head(str, HB_MAX_IPC_BODY),
		.num = num,
	};

	hb_peer_post(c->peer, HB_IPC_CTL_ITEM, &m, -1);
}

void
hb_ctl_str(const struct hb_ctl *c, const char *key, struct hb_span v)
{
	item(c, HB_ITEM_STR, key, v, 0);
}

void
hb_ctl_text(const struct hb_ctl *c, const char *key, const char *v)
{
	item(c, HB_ITEM_STR, key, hb_span_str(v), 0);
}

void
hb_ctl_int(const struct hb_ctl *c, const char *key, int64_t v)
{
	item(c, HB_ITEM_INT, key, HB_SPAN_NONE, v);
}

void
hb_ctl_time(const struct hb_ctl *c, const char *key, int64_t ms)
{
	item(c, HB_ITEM_TIME, key, HB_SPAN_NONE, ms);
}

void
hb_ctl_bool(const struct hb_ctl *c, const char *key, bool v)
{
	item(c, HB_ITEM_BOOL, key, HB_SPAN_NONE, v);
}

void
hb_ctl_null(const struct hb_ctl *c, const char *key)
{
	item(c, HB_ITEM_NULL, key, HB_SPAN_NONE, 0);
}

void
hb_ctl_object(const struct hb_ctl *c, const char *key)
{
	item(c, HB_ITEM_OBJECT, key, HB_SPAN_NONE, 0);
}

void
hb_ctl_array(const struct hb_ctl *c, const char *key)
{
	item(c, HB_ITEM_ARRAY, key, HB_SPAN_NONE, 0);
}

void
hb_ctl_close(const struct hb_ctl *c)
{
	item(c, HB_ITEM_CLOSE, NULL, HB_SPAN_NONE, 0);
}

void
hb_ctl_end(const struct hb_ctl *c, unsigned exit_code, const char *text)
{
	struct ipc_ctl_end m = {
		.ref = c->ref,
		.exit = exit_code,
		.text = hb_span_head(hb_span_str(text), 1024),
	};

	hb_peer_post(c->peer, HB_IPC_CTL_END, &m, -1);
}
