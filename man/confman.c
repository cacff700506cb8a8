/* Prints the keyword part of hauberk.conf(5), from the keyword list. */
#include <stdio.h>

#include "common/proto/conf.h"

int
main(void)
{
	struct hb_buf out = HB_BUF_INIT(0);
	struct hb_span s;
	bool written;

	hb_conf_manual(&out);
	s = hb_buf_span(&out);
	written = fwrite(s.p, 1, s.n, stdout) == s.n && fflush(stdout) == 0;
	hb_buf_free(&out);
	return written ? 0 : 1;
}
