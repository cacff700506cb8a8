/* Bytes of the control socket, both directions. */
#include "config.h"

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "common/proto/ctlcmd.h"
#include "common/proto/ctlwire.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What was understood means the same when it is written again. */
static void
check_question(struct hb_span in)
{
	struct hb_ctl_question q, again;
	struct hb_buf b = HB_BUF_INIT(0);
	enum hb_ctl_cmd cmd;
	int used = hb_ctl_question_parse(in, &q);

	if (used <= 0)
		return;
	if (hb_ctl_question_put(&q, &b) != 0 || b.n != (size_t)used ||
	    hb_ctl_question_parse(hb_buf_span(&b), &again) != used ||
	    again.nwords != q.nwords || again.json != q.json)
		abort();
	(void)!hb_ctl_cmd_find(q.words, q.nwords, &cmd);
	hb_buf_free(&b);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct hb_span in = hb_span(data, size);
	struct hb_ctl_piece p;
	int used;

	check_question(in);
	while ((used = hb_ctl_piece_parse(in, &p)) > 0)
		in = hb_span_from(in, (size_t)used);
	return 0;
}
