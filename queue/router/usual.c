/* The usual password hash.  Floor 2.  See queue/router/usual.h. */
#include "queue/router/usual.h"

#include "common/proto/scram.h"

struct hb_span
rt_hash_of(struct hb_span value)
{
	struct hb_span hash = hb_span_trim(hb_span_cut(&value, ':'));

	if (hash.n > 0 && hash.p[0] == '{' && !hb_scram_is_verifier(hash))
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

	if (hb_scram_is_verifier(hash))
		return hb_span_head(hash, hb_span_find(hash, ','));
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
	struct hb_scram_verifier v;

	if (kind.n == 0 || (hb_scram_is_verifier(hash) &&
		hb_scram_verifier_parse(hash, &v) < 0))
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

static struct hb_span
best_of(const struct rt_usual *u, bool scram_only)
{
	struct hb_span hash = HB_SPAN_NONE;
	size_t best = 0;

	for (size_t i = 0; i < u->n; i++) {
		if (u->v[i].count <= best || (scram_only &&
			!hb_scram_is_verifier(u->v[i].hash)))
			continue;
		best = u->v[i].count;
		hash = u->v[i].hash;
	}
	return hash;
}

struct hb_span
rt_usual_hash(const struct rt_usual *u)
{
	return best_of(u, false);
}

struct hb_span
rt_usual_verifier(const struct rt_usual *u)
{
	return best_of(u, true);
}
