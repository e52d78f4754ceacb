package assent

import (
	"context"
	"sync"
	"time"

	"google.golang.org/grpc"

	"assent.example/sdk/assentv1"
)

// roster has a session for each coordinator: those that were given, and those that share a log with one of them, as they
// come and go.
type roster struct {
	p     *Participant
	stop  context.Context // the participant's
	ended context.Context // when the grace is over, too
	given map[string]bool
	group sync.WaitGroup

	mutex    sync.Mutex
	sessions map[string]context.CancelFunc
	watching map[string]bool
}

func newRoster(p *Participant) *roster {
	r := &roster{p: p, given: map[string]bool{}, sessions: map[string]context.CancelFunc{}, watching: map[string]bool{}}
	for _, endpoint := range p.options.Endpoints {
		r.given[endpoint] = true
	}
	return r
}

// run returns when all sessions have ended.
func (r *roster) run(ctx context.Context) {
	ended, end := context.WithCancel(context.Background())
	defer end()
	r.stop, r.ended = ctx, ended
	for endpoint := range r.given {
		r.begin(endpoint)
	}
	<-ctx.Done()
	defer time.AfterFunc(r.p.options.StopGrace, end).Stop()
	r.group.Wait()
	over := make(chan struct{})
	go func() { r.p.running.Wait(); close(over) }()
	select {
	case <-over:
	case <-ended.Done(): // a handler that takes longer goes on, unheard
	}
	r.p.log("stopped")
}

func (r *roster) begin(endpoint string) {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	if r.sessions[endpoint] != nil || len(r.sessions) >= maxCoordinatorsCount || r.stop.Err() != nil {
		return
	}
	stop, cancel := context.WithCancel(r.stop)
	r.sessions[endpoint] = cancel
	r.group.Add(1)
	go func() {
		defer r.group.Done()
		one := session{p: r.p, endpoint: endpoint, welcomed: r.welcomed}
		one.run(stop, r.ended)
	}()
}

// welcomed: of several coordinators each tells who the others are.
func (r *roster) welcomed(endpoint string, link *grpc.ClientConn, welcome *assentv1.Welcome) {
	if welcome.ClusterVersion == 0 {
		return
	}
	r.mutex.Lock()
	defer r.mutex.Unlock()
	if r.watching[endpoint] || r.stop.Err() != nil {
		return
	}
	r.watching[endpoint] = true
	r.group.Add(1)
	go func() {
		defer r.group.Done()
		defer func() {
			r.mutex.Lock()
			delete(r.watching, endpoint)
			r.mutex.Unlock()
		}()
		stream, err := assentv1.NewClusterServiceClient(link).Watch(r.stop, &assentv1.WatchClusterRequest{})
		for err == nil {
			var reply *assentv1.ClusterView
			if reply, err = stream.Recv(); err == nil {
				r.follow(reply)
			}
		}
	}()
}

func (r *roster) follow(view *assentv1.ClusterView) {
	members := map[string]bool{}
	for _, member := range view.Members {
		members[member.Address] = true
		r.begin(member.Address)
	}
	r.mutex.Lock()
	defer r.mutex.Unlock()
	for endpoint, leave := range r.sessions {
		// One that was given stays: it may be another log's, or come back.
		if !members[endpoint] && !r.given[endpoint] {
			leave()
			delete(r.sessions, endpoint)
		}
	}
}
