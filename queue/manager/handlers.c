/* Table of frame handlers.  Floor 4. */
#include "config.h"

#include "queue/manager/job.h"

const hb_peer_handler q_handlers[HB_IPC_COUNT] = {
	[HB_IPC_TXN_BEGIN] = q_on_txn_begin,
	[HB_IPC_TXN_RCPT] = q_on_txn_rcpt,
	[HB_IPC_TXN_DATA] = q_on_txn_data,
	[HB_IPC_TXN_LARGE] = q_on_txn_large,
	[HB_IPC_TXN_HEAD] = q_on_txn_head,
	[HB_IPC_TXN_COMMIT] = q_on_txn_commit,
	[HB_IPC_TXN_ABORT] = q_on_txn_abort,
	[HB_IPC_EXPAND_ITEM] = q_on_expand_item,
	[HB_IPC_EXPAND_END] = q_on_expand_end,
	[HB_IPC_JOB_RESULT] = q_on_job_result,
	[HB_IPC_JOB_DONE] = q_on_job_done,
	[HB_IPC_JOB_CLAIM] = q_on_job_claim,
	[HB_IPC_CLAIMS_END] = q_on_claims_end,
	[HB_IPC_HELPER] = q_on_helper,
	[HB_IPC_PAUSE] = q_on_pause,
	[HB_IPC_STORE_GET] = q_on_store_get,
	[HB_IPC_STORE_PUT] = q_on_store_put,
	[HB_IPC_STORE_LIST] = q_on_store_list,
	[HB_IPC_CTL_INPUT] = q_on_ctl_input,
};
