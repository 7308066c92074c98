package main

type drillCommand struct {
	RedisLoss redisLossCommand     `cmd:"" name:"redis-loss" help:"Take Redis, or what it holds, from a running system, and count what was lost and doubled."`
	Channels  channelsDrillCommand `cmd:"" help:"Kill every process of a system of its own again and again, and compare the channels' record with the books."`
}
