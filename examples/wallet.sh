#!/bin/sh
# A wallet over HTTP, by curl and openssl alone: a key, a recharge that WeChat Pay confirms, an order paid by balance and WeChat Pay, a
# refund of part of it, and the user's statement.
#
#	settled dev                 # in another terminal; it prints the exports that this script needs
#	sh examples/wallet.sh
set -eu

: "${DATABASE_URL:?run settled dev, and export what it prints}"
: "${SETTLED_API:?run settled dev, and export what it prints}"
: "${SETTLED_SIMULATOR:?run settled dev, and export what it prints}"

run=$(openssl rand -hex 4) # every run has keys of its own: the same key again is a replay
now=$(date -u +%Y-%m-%dT%H:%M:%SZ)

# say prints a step, and field reads a string of a JSON answer on standard input.
say() { printf '%-10s %s\n' "$1" "$2"; }
field() { sed -n "s/.*\"$1\":\"\([^\"]*\)\".*/\1/p" | head -n 1; }

# The key is shown once; what is stored is its hash.
key=$(settled key create --producer "shop-$run" --by example --scope recharges:write,payments:write,refunds:write,read 2>/dev/null) || {
	echo "wallet.sh: no key. Is settled in PATH (make build), and DATABASE_URL that of settled dev?" >&2
	exit 1
}
say key "of shop-$run, for recharges, payments, refunds and reading"

# api METHOD PATH [BODY] asks the API, and fails on any answer from 400 upward with what it says.
api() {
	set -- "$1" "$2" "${3-}"
	answer=$(curl --silent --show-error --request "$1" "$SETTLED_API$2" --header "Authorization: Bearer $key" \
		--header 'Content-Type: application/json' --header 'Prefer: wait=20' ${3:+--data "$3"} --write-out '\n%{http_code}')
	status=${answer##*
}
	answer=${answer%
*}
	if [ "$status" -ge 400 ]; then
		printf '%s %s answered %s: %s\n' "$1" "$2" "$status" "$answer" >&2
		exit 1
	fi
	printf '%s\n' "$answer"
}

# A recharge order: the number that the payer takes to the channel comes back.
order=$(api POST /v1/recharge-orders "{\"recharge_id\":\"rc-$run\",\"user_id\":\"u-$run\",\"channel\":\"wechat\",\"amount\":\"100.00\"}")
number=$(printf '%s' "$order" | field out_trade_no)
say recharge "rc-$run of 100.00 through wechat: $(printf '%s' "$order" | field state), number $number"

# The payer pays at the (simulated) channel, whose signed notice then confirms the recharge.
curl --silent --show-error --fail "$SETTLED_SIMULATOR/pay" --data "{\"channel\":\"wechat\",\"out_trade_no\":\"$number\",\"amount\":\"100.00\"}" >/dev/null
tries=0
until balances=$(api GET "/v1/users/u-$run/balances" 2>/dev/null); do
	tries=$((tries + 1))
	[ "$tries" -lt 200 ] || { echo "the recharge was not confirmed" >&2; exit 1; }
	sleep 0.1
done
say balance "$(printf '%s' "$balances" | field balance) after the notice"

# An order of 80.00, 50.00 by balance and 30.00 by WeChat Pay: of that payment the channel tells the shop, not the wallet.
paid=$(curl --silent --show-error --fail "$SETTLED_SIMULATOR/pay" \
	--data "{\"channel\":\"wechat\",\"out_trade_no\":\"order$run\",\"amount\":\"30.00\",\"notify_url\":\"none\"}")
txn=$(printf '%s' "$paid" | field channel_txn_id)
captured=$(api POST /v1/requests/payment:capture "{\"order_id\":\"o-$run\",\"user_id\":\"u-$run\",\"merchant_id\":\"m1\",\"legs\":[
	{\"source\":\"cash\",\"amount\":\"50.00\"},{\"source\":\"wechat\",\"amount\":\"30.00\",\"channel_txn_id\":\"$txn\"}],\"occurred_at\":\"$now\"}")
say order "o-$run of 80.00: $(printf '%s' "$captured" | field result)"

# What would go where, then the refund itself.
refund="{\"refund_id\":\"rf-$run\",\"order_id\":\"o-$run\",\"user_id\":\"u-$run\",\"amount\":\"24.00\",\"occurred_at\":\"$now\"}"
say preview "$(api POST /v1/refunds/preview "$refund")"
refunded=$(api POST /v1/requests/refund:apply "$refund")
say refund "rf-$run of 24.00: $(printf '%s' "$refunded" | field result)"

# The same key again is answered with the stored outcome; with another amount it is a conflict.
say again "$(api POST /v1/requests/refund:apply "$refund" | field status)"
say conflict "$(curl --silent "$SETTLED_API/v1/requests/refund:apply" --header "Authorization: Bearer $key" \
	--header 'Content-Type: application/json' --data "$(printf '%s' "$refund" | sed 's/24.00/25.00/')" | field title)"

say statement "of u-$run:"
curl --silent --show-error --fail "$SETTLED_API/v1/users/u-$run/statement" --header "Authorization: Bearer $key" --header 'Accept: text/csv'
