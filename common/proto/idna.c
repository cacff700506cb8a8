/* International domain names.  Floor 1. */
#include "common/proto/idna.h"

#include <idn2.h>

#include "common/base/err.h"
#include "common/base/limits.h"
#include "common/base/mem.h"
#include "common/base/utf8.h"
#include "common/proto/address.h"
#include "common/proto/domain.h"

/* Lower case, width and normal form are mapped first, as senders send what
 * people type; German sharp s and its like stay themselves (UTS 46,
 * nontransitional). */
static int
look_up(const char *name, struct hb_buf *out)
{
	uint8_t *found = NULL;
	int r = idn2_lookup_u8((const uint8_t *)name, &found,
	    IDN2_NFC_INPUT | IDN2_NONTRANSITIONAL);
	struct hb_span labels;

	if (r == IDN2_MALLOC)
		HB_BUG("no memory for a domain");
	if (r != IDN2_OK)
		return r == IDN2_TOO_BIG_DOMAIN || r == IDN2_TOO_BIG_LABEL
		    ? HB_E_RANGE : HB_E_SYNTAX;
	labels = hb_domain_dotless(hb_span_str((const char *)found));
	r = hb_domain_is_dns_name(labels) ? hb_buf_put(out, labels)
					  : HB_E_SYNTAX;
	if (r == 0)
		hb_buf_lower(out, out->n - labels.n);
	idn2_free(found);
	return r == HB_E_LIMIT ? HB_E_RANGE : r;
}

int
hb_idna_domain(struct hb_span name, struct hb_buf *out)
{
	char text[HB_MAX_DOMAIN + 1];

	if (hb_span_find(name, '\0') < name.n)
		return HB_E_SYNTAX;
	if (hb_span_copy(name, text, sizeof(text)) < 0)
		return HB_E_RANGE;
	return look_up(text, out);
}

int
hb_idna_address(struct hb_buf *address)
{
	struct hb_buf labels = HB_BUF_INIT(HB_MAX_DOMAIN);
	struct hb_span local, domain;
	int r;

	hb_addr_split(hb_buf_span(address), &local, &domain);
	if (hb_utf8_is_ascii(domain))
		return 0;
	r = hb_idna_domain(domain, &labels);
	if (r == 0 && local.n + 1 + labels.n + 2 > HB_MAX_PATH)
		r = HB_E_RANGE;
	if (r == 0) {
		hb_buf_truncate(address, local.n + 1);
		r = hb_buf_put(address, hb_buf_span(&labels));
	}
	hb_buf_free(&labels);
	return r == HB_E_LIMIT ? HB_E_RANGE : r;
}
