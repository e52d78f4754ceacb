package assentsql

import (
	"context"
	"database/sql"
	"sync"
	"time"

	assent "assent.example/sdk"
)

const (
	// MaxKeptSessions of one Keeper over MariaDB or MySQL; the pool may have room for fewer. Beyond it the oldest is ended, and
	// its branch takes DetachTime longer to be settled.
	MaxKeptSessions = 32
	// DetachTime is how long prepared work is left alone after its session was seen to have ended.
	DetachTime = 250 * time.Millisecond
	// What nobody asks about any more is forgotten.
	remembered = 10 * time.Minute
)

// xaSessions have prepared something in MariaDB or MySQL, each for one branch.
//
// What a session has prepared nobody else can settle until it has ended, and it can do nothing else meanwhile. So it is kept,
// for the COMMIT or ROLLBACK that most often comes soon, and to the same process. Another process ends it first.
//
// When a session ends, MariaDB calls its prepared work anybody's, and gives its named locks back, a moment before InnoDB lets
// go of it. An XA COMMIT (or ROLLBACK) in that moment is answered with OK, does nothing, and takes the name away, until the
// server is started again (10.11.19). Nothing tells that the moment is over: so what has no session is left alone for
// DetachTime after it was seen to have none. That is a guess at time, and no answer depends on it: what became of the work is
// looked at in the data.
type xaSessions struct {
	most int // kept, and preparing at this moment

	mutex     sync.Mutex
	kept      map[branch]*sql.Conn
	order     []branch // of kept, the oldest first
	preparing int
	detached  map[branch]time.Time // since when they were seen to have no session
}

type branch struct{ gid, id string }

func branchOf(call *assent.Call) branch { return branch{call.GID, call.BranchID} }

func newXaSessions(room int) *xaSessions {
	return &xaSessions{most: max(0, min(MaxKeptSessions, room)), kept: map[branch]*sql.Conn{}, detached: map[branch]time.Time{}}
}

// beginPreparing: before a connection is taken, so that the pool has one. Ended by keep, or by endPreparing.
func (s *xaSessions) beginPreparing() {
	s.mutex.Lock()
	s.preparing++
	tooMany := s.tooMany(s.most - s.preparing)
	s.mutex.Unlock()
	endSessions(tooMany)
}

func (s *xaSessions) endPreparing() {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	s.preparing--
}

// tooMany are no longer kept. With the mutex.
func (s *xaSessions) tooMany(most int) (ended []*sql.Conn) {
	for len(s.order) > max(most, 0) {
		ended = append(ended, s.kept[s.order[0]])
		delete(s.kept, s.order[0])
		s.order = s.order[1:]
	}
	return ended
}

// keep what has prepared the branch.
func (s *xaSessions) keep(b branch, conn *sql.Conn) {
	s.mutex.Lock()
	s.preparing--
	s.kept[b] = conn
	s.order = append(s.order, b)
	tooMany := s.tooMany(s.most)
	s.mutex.Unlock()
	endSessions(tooMany)
}

func (s *xaSessions) has(b branch) bool {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	return s.kept[b] != nil
}

// take: nil, it is not here.
func (s *xaSessions) take(b branch) *sql.Conn {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	conn := s.kept[b]
	delete(s.kept, b)
	for at, one := range s.order {
		if one == b {
			s.order = append(s.order[:at:at], s.order[at+1:]...)
			break
		}
	}
	return conn
}

// waitDetached: what the branch has prepared has no session. Returns when that has been seen for DetachTime.
func (s *xaSessions) waitDetached(ctx context.Context, b branch) error {
	now := time.Now()
	s.mutex.Lock()
	for one, since := range s.detached {
		if now.Sub(since) > remembered {
			delete(s.detached, one)
		}
	}
	since, is := s.detached[b]
	if !is {
		since = now
		s.detached[b] = now
	}
	s.mutex.Unlock()
	select {
	case <-time.After(since.Add(DetachTime).Sub(now)):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (s *xaSessions) forgetDetached(b branch) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	delete(s.detached, b)
}

func (s *xaSessions) close() {
	s.mutex.Lock()
	var all []*sql.Conn
	for _, conn := range s.kept {
		all = append(all, conn)
	}
	s.kept, s.order = map[branch]*sql.Conn{}, nil
	s.mutex.Unlock()
	endSessions(all)
}

// endSession has the connection closed, and not used again. Of nil: nothing.
func endSession(conn *sql.Conn) {
	if conn != nil {
		drop(conn)
		_ = conn.Close()
	}
}

func endSessions(conns []*sql.Conn) {
	for _, conn := range conns {
		endSession(conn)
	}
}
