/* Codec of the frames between roles.  Floor 1. */
#include "common/proto/ipc.h"

#include "common/base/bytes.h"
#include "common/base/err.h"
#include "common/base/log.h"

#define I_MSG(SYM, name, from, to, when, fd)                                   \
	static const struct hb_field name##_fields[] = {                       \
		{ 0, HB_F_U32, 0, 0, "" },
#define RECORD_STRUCT(name) ipc_##name
#include "common/proto/record-table.h"
#include "common/proto/ipc.def"
#include "common/proto/record-undef.h"
#undef I_MSG

/* The first row of each table only keeps it from being empty. */
static const struct hb_ipc_info infos[HB_IPC_COUNT] = {
#define I_MSG(SYM, name, from, to, when, fd)                                   \
	[HB_IPC_##SYM] = { { #name, name##_fields + 1,                         \
			       HB_ARRAY_LEN(name##_fields) - 1,                \
			       sizeof(struct ipc_##name) },                    \
		(from), (to), HB_WHEN_##when, (fd) != 0, (fd) == 1 },
#include "common/proto/record-none.h"
#include "common/proto/ipc.def"
};

const struct hb_ipc_info *
hb_ipc_info(unsigned type)
{
	return type < HB_IPC_COUNT ? &infos[type] : NULL;
}

bool
hb_ipc_may_send(unsigned type, enum hb_role from, enum hb_role to)
{
	return type < HB_IPC_COUNT && hb_role_may_talk(from, to) &&
	    (infos[type].from >> from & 1) != 0 &&
	    (infos[type].to >> to & 1) != 0;
}

int
hb_ipc_encode(enum hb_ipc_type type, const void *msg, struct hb_buf *out)
{
	unsigned char *head;
	size_t start = out->n;
	int r = hb_buf_reserve(out, HB_IPC_HEAD, &head);

	if (r < 0)
		return r;
	hb_buf_added(out, HB_IPC_HEAD);
	r = hb_tlv_encode(&infos[type].record, msg, out);
	if (r == 0 && out->n - start > HB_MAX_IPC_FRAME)
		r = HB_E_LIMIT;
	if (r < 0) {
		hb_buf_truncate(out, start);
		return r;
	}
	head = out->p + out->off + start;
	hb_put_le(head, out->n - start - HB_IPC_HEAD, 4);
	hb_put_le(head + 4, type, 4);
	return 0;
}

void
hb_ipc_mark_fd(unsigned char *frame)
{
	frame[6] = 1;
}

bool
hb_ipc_has_fd(struct hb_span frame)
{
	return frame.n >= HB_IPC_HEAD && frame.p[6] == 1;
}

int
hb_ipc_decode(struct hb_span in, enum hb_ipc_type *type,
    union hb_ipc_any *msg)
{
	size_t len, kind;
	int r;

	if (in.n < HB_IPC_HEAD)
		return 0;
	len = hb_get_le32(in.p);
	kind = (size_t)hb_get_le(in.p + 4, 2);
	if (kind >= HB_IPC_COUNT || in.p[6] > (infos[kind].has_fd ? 1 : 0) ||
	    in.p[7] != 0)
		return HB_E_SYNTAX;
	if (len > HB_MAX_IPC_FRAME - HB_IPC_HEAD)
		return HB_E_LIMIT;
	if (in.n - HB_IPC_HEAD < len)
		return 0;
	*type = (enum hb_ipc_type)kind;
	r = hb_tlv_decode(&infos[kind].record,
	    hb_span(in.p + HB_IPC_HEAD, len), msg);
	return r < 0 ? r : (int)(len + HB_IPC_HEAD);
}
