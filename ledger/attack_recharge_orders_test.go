package ledger_test

var attacksOnRechargeOrders = map[string]string{
	"recharge_order_is_identified_within_its_book":          newRechargeOrder("book", "0") + ";" + newRechargeOrder("out_trade_no", "'RC00000002'"),
	"recharge_order_is_opened_once":                         newRechargeOrder("book", "1") + ";" + newRechargeOrder("out_trade_no", "'RC00000002'"),
	"recharge_order_has_a_number_of_its_own":                newRechargeOrder("recharge_id", "'rc1'") + ";" + newRechargeOrder("recharge_id", "'rc2'"),
	"recharge_order_is_paid_through_a_channel":              newRechargeOrder("channel", "'cash'"),
	"recharge_order_asks_for_a_positive_amount":             newRechargeOrder("amount_fen", "0"),
	"recharge_order_number_suits_every_channel":             newRechargeOrder("out_trade_no", "'RC_00000001'"),
	"recharge_is_confirmed_by_its_channel_or_by_a_producer": newRechargeID("true") + ";" + newRechargeID("false"),
	"recharge_order_expires_after_it_was_opened":            newRechargeOrder("expires_at", "'2026-03-02 04:00Z'"),
	"recharge_order_has_one_inquiry":                        newRechargeInquiry("channel", "'wechat'") + ";" + newRechargeInquiry("channel", "'alipay'"),
	"recharge_inquiry_is_to_a_channel":                      newRechargeInquiry("channel", "'cash'"),
	"recharge_inquiry_is_not_tried_before_it_is_due":        newRechargeInquiry("try_at", "'2026-03-02 04:04Z'"),
}

// newRechargeOrder inserts an open order that is good but for one column.
func newRechargeOrder(column, value string) string {
	columns := map[string]string{"book": "0", "recharge_id": "'rc1'", "user_id": "'u1'", "channel": "'wechat'", "amount_fen": "100",
		"out_trade_no": "'RC00000001'", "producer": "'shop'", "created_at": "'2026-03-02 04:00Z'", "expires_at": "'2026-03-02 06:00Z'"}
	columns[column] = value
	return insertInto("recharge_orders", columns)
}

// newRechargeID takes one recharge's id for an order, or for a producer.
func newRechargeID(ordered string) string {
	return insertInto("recharge_ids", map[string]string{"recharge_id": "'rc1'", "ordered": ordered})
}

// newRechargeInquiry inserts an inquiry about an order that is good but for one column.
func newRechargeInquiry(column, value string) string {
	columns := map[string]string{"recharge_id": "'rc1'", "channel": "'wechat'", "due_at": "'2026-03-02 04:05Z'", "try_at": "'2026-03-02 04:05Z'"}
	columns[column] = value
	return insertInto("recharge_inquiries", columns)
}
