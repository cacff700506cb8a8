#include "common/proto/hosts.h"

static bool
line_names(struct hb_span rest, struct hb_span name)
{
	struct hb_span word;

	while ((word = hb_span_word(&rest)).n > 0)
		if (hb_span_eq_nocase(word, name))
			return true;
	return false;
}

size_t
hb_hosts_find(struct hb_span text, struct hb_span name, struct hb_netaddr *out,
    size_t max)
{
	size_t n = 0;

	while (text.n > 0 && n < max) {
		struct hb_span line = hb_span_cut(&text, '\n');
		struct hb_span rest = hb_span_head(line,
		    hb_span_find(line, '#'));
		struct hb_span addr = hb_span_word(&rest);

		if (line_names(rest, name) &&
		    hb_netaddr_parse(addr, &out[n]) == 0)
			n++;
	}
	return n;
}

size_t
hb_resolv_servers(struct hb_span text, struct hb_netaddr *out, size_t max)
{
	size_t n = 0;

	while (text.n > 0 && n < max) {
		struct hb_span line = hb_span_cut(&text, '\n');
		struct hb_span word = hb_span_word(&line);

		if (hb_span_eq(word, HB_SPAN("nameserver")) &&
		    hb_netaddr_parse(hb_span_word(&line), &out[n]) == 0)
			n++;
	}
	return n;
}
