/* Envelope records and the reason list.  Floor 1. */
#include "common/proto/envelope.h"

#include <stdio.h>

#include "common/proto/dane.h"

#define RECORD_STRUCT(name) hb_##name
#include "common/proto/record-table.h"
#include "common/proto/envelope.def"
#include "common/proto/outcome.def"
#include "common/proto/record-undef.h"

#define RECORD(name)                                                           \
	{ #name, name##_fields, HB_ARRAY_LEN(name##_fields),                   \
		sizeof(struct hb_##name) }
const struct hb_record hb_env_record = RECORD(env);
const struct hb_record hb_rcpt_record = RECORD(rcpt);
const struct hb_record hb_outcome_record = RECORD(outcome);

static const struct {
	const char *word, *text, *advice;
	enum hb_fault fault;
	enum hb_result result;
	unsigned code, means;
	const char *status[HB_RESULT_COUNT];
} reasons[] = {
#define HB_REASON(sym, word, fault, result, code, status, means, tlsrpt, text, \
    advice)                                                                    \
	[HB_REASON_##sym] = { word, text, advice, HB_FAULT_##fault,            \
		HB_RESULT_##result, code, means,                               \
		{ "", "", "4" status, "5" status } },
#include "common/proto/reason.def"
};

static const struct {
	const char *word;
	bool final;
} faults[] = {
#define HB_FAULT(sym, word, final) [HB_FAULT_##sym] = { word, final },
#include "common/proto/fault.def"
};

const char *
hb_fault_word(enum hb_fault f)
{
	return f < HB_FAULT_COUNT ? faults[f].word : "";
}

const char *
hb_reason_word(enum hb_reason r)
{
	return r < HB_REASON_COUNT ? reasons[r].word : "";
}

enum hb_reason
hb_reason_find(struct hb_span word)
{
	for (unsigned r = 0; r < HB_REASON_COUNT && word.n > 0; r++)
		if (hb_span_eq(word, hb_span_str(reasons[r].word)))
			return (enum hb_reason)r;
	return HB_REASON_NONE;
}

const char *
hb_reason_text(enum hb_reason r)
{
	return r < HB_REASON_COUNT ? reasons[r].text : "";
}

const char *
hb_reason_advice(enum hb_reason r)
{
	return r < HB_REASON_COUNT ? reasons[r].advice : "";
}

enum hb_fault
hb_reason_fault(enum hb_reason r)
{
	return r < HB_REASON_COUNT ? reasons[r].fault : HB_FAULT_NOBODY;
}

bool
hb_reason_means(enum hb_reason r, unsigned what)
{
	return r < HB_REASON_COUNT && (reasons[r].means & what) != 0;
}

enum hb_result
hb_reason_result(enum hb_reason r)
{
	return r < HB_REASON_COUNT ? reasons[r].result : HB_RESULT_NONE;
}

unsigned
hb_reason_code(enum hb_reason r, enum hb_result as)
{
	enum hb_result usual = hb_reason_result(r);

	if (usual == HB_RESULT_NONE)
		return 0;
	if (as == usual)
		return reasons[r].code;
	return as == HB_RESULT_FAIL ? 550 : 451;
}

const char *
hb_reason_status(enum hb_reason r, enum hb_result as)
{
	return hb_reason_result(r) == HB_RESULT_NONE ? ""
						     : reasons[r].status[as];
}

bool
hb_reason_is_final(enum hb_reason r)
{
	return faults[hb_reason_fault(r)].final;
}

const char *
hb_result_word(enum hb_result r)
{
	static const char *const words[] = { "none", "ok", "defer", "fail" };

	return r < HB_RESULT_COUNT ? words[r] : "none";
}

unsigned
hb_outcome_code(const struct hb_outcome *o)
{
	static const unsigned codes[HB_RESULT_COUNT] = {
		[HB_RESULT_NONE] = 451, [HB_RESULT_OK] = 250,
		[HB_RESULT_DEFER] = 451, [HB_RESULT_FAIL] = 550 };

	return o->code > 0 ? o->code : codes[o->result];
}

struct hb_span
hb_outcome_status(const struct hb_outcome *o)
{
	static const struct hb_span classes[] = { [2] = HB_SPAN("2.0.0"),
		[4] = HB_SPAN("4.0.0"), [5] = HB_SPAN("5.0.0") };
	unsigned class = hb_outcome_code(o) / 100;

	if (o->status.n > 0)
		return o->status;
	return class == 2 || class == 5 ? classes[class] : classes[4];
}

enum hb_reason
hb_outcome_reason(const struct hb_outcome *o)
{
	return o->remembered != 0 ? HB_REASON_HOST_DOWN
				  : (enum hb_reason)o->reason;
}

void
hb_msgid_format(uint64_t id, char dst[17])
{
	snprintf(dst, 17, "%016llx", (unsigned long long)id);
}

uint32_t
hb_env_one_tls_flag(uint32_t flags)
{
	return (flags & HB_ENV_REQUIRETLS) != 0
	    ? flags & ~(uint32_t)HB_ENV_TLS_OPTIONAL
	    : flags;
}

const char *
hb_env_tls_demand(uint32_t flags)
{
	if ((flags & HB_ENV_REQUIRETLS) != 0)
		return "required";
	return (flags & HB_ENV_TLS_OPTIONAL) != 0 ? "optional" : "";
}

const struct hb_rcpt *
hb_rcpt_find(const struct hb_rcpt *v, size_t n, uint32_t idx)
{
	size_t lo = 0, hi = n;

	if (n == 0 || idx < v[0].idx)
		return NULL;
	/* most often none before it is missing */
	if (idx - v[0].idx < n) {
		size_t at = idx - v[0].idx;

		if (v[at].idx == idx)
			return &v[at];
		if (v[at].idx > idx)
			hi = at;
	}
	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (v[mid].idx < idx)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo < n && v[lo].idx == idx ? &v[lo] : NULL;
}
