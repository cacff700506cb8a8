/* Reads quoted-printable back, for round trips.  RFC 2045 s6.7. */
#ifndef TESTS_UNIT_QP_H
#define TESTS_UNIT_QP_H

#include "common/base/buf.h"

static inline unsigned
qp_digit(unsigned char c)
{
	return hb_is_digit(c) ? (unsigned)(c - '0') : (unsigned)(hb_lower(c) - 'a' + 10);
}

/* TEXT: lines with CRLF.  What it encodes, CRLF behind each line, into OUT;
 * false: a line is longer than 76 bytes or ends in a blank or begins with a
 * dot, or is not of the encoding. */
static inline bool
qp_decode(struct hb_span text, struct hb_buf *out)
{
	while (text.n > 0) {
		struct hb_span line = hb_span_cut(&text, '\n');

		if (line.n == 0 || line.p[--line.n] != '\r' || line.n > 76 ||
		    (line.n > 0 && (line.p[0] == '.' ||
			hb_is_blank(line.p[line.n - 1]))))
			return false;
		while (line.n > 1 || (line.n == 1 && line.p[0] != '=')) {
			size_t used = line.p[0] == '=' ? 3 : 1;
			unsigned char c = line.p[0];

			if (line.n < used || c > 126)
				return false;
			if (used == 3)
				c = (unsigned char)(qp_digit(line.p[1]) << 4 |
				    qp_digit(line.p[2]));
			hb_buf_add(out, hb_span(&c, 1));
			line = hb_span_from(line, used);
		}
		if (line.n == 0)
			hb_buf_adds(out, "\r\n");
	}
	return true;
}

#endif
