/* Questions of the router to its children.  Floor 1. */
#include "queue/router/workrec.h"

#include "common/base/err.h"

#define RECORD_STRUCT(name) rt_##name
#include "common/proto/record-table.h"
#include "queue/router/work.def"
#include "common/proto/record-undef.h"

const struct hb_record rt_work_record = { "work", work_fields,
	HB_ARRAY_LEN(work_fields), sizeof(struct rt_work) };
const struct hb_record rt_work_done_record = { "work_done", work_done_fields,
	HB_ARRAY_LEN(work_done_fields), sizeof(struct rt_work_done) };

/* An empty record would be an empty datagram, which is the end of file: a tag
 * that nobody knows stands in front. */
int
rt_work_done_put(const struct rt_work_done *done, struct hb_buf *out)
{
	static const unsigned char unknown = 200;

	hb_buf_clear(out);
	if (hb_buf_putc(out, unknown) < 0 || hb_buf_putc(out, 0) < 0)
		return HB_E_LIMIT;
	return hb_tlv_encode(&rt_work_done_record, done, out);
}
