package tasks

// wechatAbnormal is the reason of a WeChat Pay refund of that state, as package wechat tells it: the payee's card is void or frozen, and the
// money stands at WeChat Pay until apply-abnormal-refund sends it on. One that is CLOSED has given its money back to the merchant.
const wechatAbnormal = "ABNORMAL"

// HeldByChannel says that a refund has failed and its channel keeps the money apart, to be sent on in the channel's own pages. It is read from
// the stored reason, so answers that older versions have stored tell it too.
func (p *RefundResult) HeldByChannel() bool {
	return p.Result == RefundFailed && p.Channel == SourceWeChat && p.Reason == wechatAbnormal
}

// TakesAnotherNumber says that a refund ended as if it had never been asked for, so that its channel may be asked again, under another
// number. It is not so of a success, of money that the channel holds, and of an end that this version does not know.
func (p *RefundResult) TakesAnotherNumber() bool {
	return p.Result == RefundFailed && !p.HeldByChannel()
}
