package dialects

import (
	"github.com/settled-dev/settled/channel/alipay/alipaysim"
	"github.com/settled-dev/settled/channel/ecny/ecnysim"
	"github.com/settled-dev/settled/channel/simulate"
	"github.com/settled-dev/settled/channel/unionpay/unionpaysim"
	"github.com/settled-dev/settled/channel/wechat/wechatsim"
	"github.com/settled-dev/settled/internal/clock"
	"github.com/settled-dev/settled/tasks"
)

// All returns every channel that can be simulated, in the order of tasks.Channels.
func All() []simulate.Kind {
	return []simulate.Kind{
		kind(tasks.SourceWeChat, wechatsim.New, wechatsim.Restore),
		kind(tasks.SourceAlipay, alipaysim.New, alipaysim.Restore),
		kind(tasks.SourceUnionPay, unionpaysim.New, unionpaysim.Restore),
		kind(tasks.SourceECNY, ecnysim.New, ecnysim.Restore),
	}
}

// kind gives a channel's own constructors the common form.
func kind[D simulate.KeyedDialect](source tasks.Source, fresh func(clock.Clock) (D, error),
	restore func(clock.Clock, []byte) (D, error)) simulate.Kind {
	return simulate.Kind{
		Source:  source,
		New:     func(clock clock.Clock) (simulate.KeyedDialect, error) { return fresh(clock) },
		Restore: func(clock clock.Clock, keys []byte) (simulate.KeyedDialect, error) { return restore(clock, keys) },
	}
}
