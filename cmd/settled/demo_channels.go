package main

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/settled-dev/settled/channel/simulate"
	"github.com/settled-dev/settled/channel/simulate/dialects"
	"github.com/settled-dev/settled/intake/access"
	"github.com/settled-dev/settled/internal/demo"
	"github.com/settled-dev/settled/internal/devstack"
	"github.com/settled-dev/settled/internal/postgres"
)

// demoRingAfter is as short as that of the demo's producers: what a killed worker had in hand is not waited for.
const demoRingAfter = 2 * time.Second

// startDemoChannels runs the API and simulated channels in this process, for the demo's recharges. The caller calls stop, which waits for
// their end; failed is told when they end before.
func startDemoChannels(ctx context.Context, p *Program, config demo.Config, failed func(error)) (_ *demo.Channels, stop func() error, err error) {
	to := connection{databaseFlags{DatabaseURL: config.DatabaseURL}, redisFlags{RedisURL: config.RedisURL}, nil}
	h, err := p.openHost(ctx, "demo", to, processFlags{MetricsListen: "off", LogLevel: "error", LogFormat: "text"})
	if err != nil {
		return nil, nil, err
	}
	defer func() {
		if err != nil {
			h.close()
		}
	}()
	dir, err := devstack.NewDirectory("channels")
	if err != nil {
		return nil, nil, err
	}
	h.onClose(func() { _ = dir.Remove() }) // the system's directory for temporary files may keep it
	key, err := createDemoKey(ctx, config.DatabaseURL)
	if err != nil {
		return nil, nil, err
	}
	if err := h.listenAPI(ctx, "127.0.0.1:0", nil); err != nil {
		return nil, nil, err
	}
	if _, err := h.startSimulator(ctx, "127.0.0.1:0", "", simulate.Config{Dir: dir.Path, NotifyURL: h.apiAddress + noticesPath, Kinds: dialects.All(),
		TimeScale: demo.ChannelTimeScale, Faults: demo.ChannelFaults, Seed: config.Seed}); err != nil {
		return nil, nil, err
	}
	if err := h.startAPI(ctx, apiFlags{Channels: dir.Path, Rate: access.RateDefault, Burst: access.BurstDefault, ringAfter: demoRingAfter}); err != nil {
		return nil, nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	ran := make(chan error, 1)
	go func() {
		err := h.run(ctx, nil)
		if ctx.Err() == nil {
			failed(errors.Join(errors.New("the demo's API or its channels ended"), err))
		}
		ran <- err
	}()
	stop = func() error {
		cancel()
		err := <-ran
		h.close()
		return err
	}
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: demo.ProducersCount}}
	return &demo.Channels{API: h.apiAddress, Key: key.Reveal(), Client: client, Simulator: h.simulator}, stop, nil
}

// createDemoKey makes the key of who opens recharge orders. It goes with the demo's database.
func createDemoKey(ctx context.Context, url string) (access.Token, error) {
	pool, err := postgres.OpenOwner(ctx, url, postgres.MaxConns(1), postgres.ApplicationName("settled demo"))
	if err != nil {
		return access.Token{}, err
	}
	defer pool.Close()
	_, token, err := access.Create(ctx, pool, access.NewKey{Producer: demo.Checkout, Scopes: []access.Scope{access.RechargesWrite},
		Label: "settled demo", By: demo.Checkout})
	return token, err
}
