/* The usual password hash.  Floor 2.  See queue/router/usual.h. */
#include "queue/router/usual.h"

struct hb_span
rt_hash_of(struct hb_span value)
{
	struct hb_span hash = hb_span_trim(hb_span_cut(&value, ':'));

	if (hash.n > 0 && hash.p[0] == '{')
		hash = hb_span_from(hash, hb_span_find(hash, '}') + 1);
	return hash;
}

/* What decides the cost: "$METHOD" or "$METHOD$COST" of a hash of crypt(5).
 * The cost of bcrypt stands before salt and hash in one field; others with a
 * cost have a field more. */
static struct hb_span
kind_of(struct hb_span hash)
{
	struct hb_span rest = hash, method, cost;
	size_t n;

	if (hash.n == 0 || hash.p[0] != '$')
		return HB_SPAN_NONE;
	(void)hb_span_cut(&rest, '$');
	method = hb_span_cut(&rest, '$');
	cost = hb_span_cut(&rest, '$');
	n = 1 + method.n;
	if (method.n == 0)
		return HB_SPAN_NONE;
	if (method.p[0] != '2' &&
	    hb_span_find(rest, '$') == rest.n)
		return hb_span_head(hash, n);
	return hb_span_head(hash, n + 1 + cost.n);
}

void
rt_usual_count(struct rt_usual *u, struct hb_span value)
{
	struct hb_span hash = rt_hash_of(value), kind = kind_of(hash);

	if (kind.n == 0)
		return;
	for (size_t i = 0; i < u->n; i++)
		if (hb_span_eq(hb_span_str(u->v[i].kind), kind)) {
			u->v[i].count++;
			return;
		}
	if (u->n == RT_USUAL_KINDS ||
	    hb_span_copy(kind, u->v[u->n].kind, RT_USUAL_KIND) < 0)
		return;
	u->v[u->n].count = 1;
	u->v[u->n++].hash = hash;
}

struct hb_span
rt_usual_hash(const struct rt_usual *u)
{
	size_t best = 0;

	for (size_t i = 1; i < u->n; i++)
		if (u->v[i].count > u->v[best].count)
			best = i;
	return u->n > 0 ? u->v[best].hash : HB_SPAN_NONE;
}
