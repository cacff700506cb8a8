/* `access' asked.  Floor 3. */
#include "config.h"

#include "queue/router/gate.h"

#include "common/base/err.h"

enum { KEY_TOLD = 250, FILE_TOLD = 200 };

void
rt_gate_free(struct rt_gate *g)
{
	hb_buf_free(&g->rule);
	hb_buf_free(&g->value);
}

static void
note_rule(struct rt_gate *g, struct hb_span key, const struct hb_map_place *at)
{
	hb_buf_clear(&g->rule);
	hb_buf_add(&g->rule, hb_span_head(key, KEY_TOLD));
	hb_buf_addf(&g->rule, " (%.*s", FILE_TOLD, at->file);
	if (at->line > 0)
		hb_buf_addf(&g->rule, ":%u", at->line);
	hb_buf_adds(&g->rule, ")");
}

/* One key.  True: its entry decides. */
static bool
ask_key(struct rt_gate *g, struct rt_lookup *k, struct rt_access *a,
    const struct ipc_check *q, struct hb_span key)
{
	struct hb_map_place at;
	enum rt_found found = rt_lookup_access(k, key, &g->value, &at);

	if (found == RT_NOTFOUND)
		return false;
	note_rule(g, key, &at);
	if (found == RT_TEMP)
		g->said = rt_access_mistake;
	else if (!rt_access_found(a, q, hb_buf_span(&g->value), &g->said))
		return false;
	if (g->said.reason == HB_REASON_ACCESS_TABLE && found == RT_FOUND)
		rt_lookup_bad_access(k, hb_buf_span(&g->rule),
		    hb_buf_span(&g->value));
	return true;
}

bool
rt_gate_ask(struct rt_gate *g, struct rt_lookup *k, enum rt_access_check check,
    const struct ipc_check *q)
{
	struct rt_access a = { .key = HB_BUF_INIT(0) };
	struct hb_span key;
	bool decided = false;

	if (!rt_lookup_begin_access(k))
		return false;
	rt_access_begin(&a, check, q);
	while (!decided && rt_access_key(&a, &key))
		decided = ask_key(g, k, &a, q, key);
	rt_access_free(&a);
	return decided;
}
