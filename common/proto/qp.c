/* Quoted-printable.  Floor 1.  RFC 2045 s6.7. */
#include "common/proto/qp.h"

enum { LINE_MAX_BYTES = 76, ENCODED = 3 };

/* May C stand for itself?  FIRST: at the beginning of a line that is made;
 * LAST: at the end of the line of the text. */
static bool
is_plain(unsigned char c, bool first, bool last)
{
	if (c == ' ' || c == '\t')
		return !last; /* rule 3 */
	return c > ' ' && c < 127 && c != '=' && !(first && c == '.');
}

/* C begins a line that is none in the text: it must not become a delimiter of
 * parts, RFC 2046 s5.1.1, or an mbox's From line. */
static bool
is_plain_behind_break(unsigned char c, bool last)
{
	return is_plain(c, true, last) && c != '-' && c != 'F';
}

void
hb_qp_line(struct hb_span line, struct hb_buf *out)
{
	size_t column = 0;

	for (size_t i = 0; i < line.n; i++) {
		bool last = i + 1 == line.n;
		bool plain = is_plain(line.p[i], column == 0, last);
		size_t n = plain ? 1 : ENCODED;

		/* room for the "=" of a soft line break, but at the end */
		if (column + n + (last ? 0 : 1) > LINE_MAX_BYTES) {
			hb_buf_adds(out, "=\r\n");
			column = 0;
			plain = is_plain_behind_break(line.p[i], last);
			n = plain ? 1 : ENCODED;
		}
		if (plain)
			hb_buf_add(out, hb_span(&line.p[i], 1));
		else
			hb_buf_addf(out, "=%02X", line.p[i]);
		column += n;
	}
	hb_buf_adds(out, "\r\n");
}
