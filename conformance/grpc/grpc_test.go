// Package grpc runs google.golang.org/grpc's server on a Ring's listener, and its client through a Ring's Dial.
package grpc

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	pb "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"

	"github.com/seed-9c58b644/rio/conformance/internal/ringtest"
)

func TestMain(m *testing.M) { ringtest.Main(m) }

// A service answers with what it was sent, as often as it was asked to.
type service struct {
	pb.UnimplementedTestServiceServer
	entered chan struct{} // EmptyCall has begun, and waits for its context
}

func (s *service) UnaryCall(ctx context.Context, in *pb.SimpleRequest) (*pb.SimpleResponse, error) {
	p, ok := peer.FromContext(ctx)
	if !ok || p.Addr == nil {
		return nil, status.Error(codes.Internal, "the peer is not known")
	}
	return &pb.SimpleResponse{Payload: in.Payload, Hostname: p.Addr.Network()}, nil
}

func (s *service) EmptyCall(ctx context.Context, _ *pb.Empty) (*pb.Empty, error) {
	s.entered <- struct{}{}
	<-ctx.Done()
	return nil, ctx.Err()
}

func (s *service) StreamingOutputCall(in *pb.StreamingOutputCallRequest, out grpc.ServerStreamingServer[pb.StreamingOutputCallResponse]) error {
	for i, p := range in.ResponseParameters {
		body := bytes.Repeat([]byte{byte(i)}, int(p.Size))
		if err := out.Send(&pb.StreamingOutputCallResponse{Payload: &pb.Payload{Body: body}}); err != nil {
			return err
		}
	}
	return nil
}

func (s *service) StreamingInputCall(in grpc.ClientStreamingServer[pb.StreamingInputCallRequest, pb.StreamingInputCallResponse]) error {
	sum := 0
	for {
		m, err := in.Recv()
		if err == io.EOF {
			return in.SendAndClose(&pb.StreamingInputCallResponse{AggregatedPayloadSize: int32(sum)})
		}
		if err != nil {
			return err
		}
		sum += len(m.Payload.Body)
	}
}

func (s *service) FullDuplexCall(stream grpc.BidiStreamingServer[pb.StreamingOutputCallRequest, pb.StreamingOutputCallResponse]) error {
	for {
		m, err := stream.Recv()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		if err := stream.Send(&pb.StreamingOutputCallResponse{Payload: m.Payload}); err != nil {
			return err
		}
	}
}

// start serves on a ring, and returns a client on it.
func start(t *testing.T, network string, operations uint64) (pb.TestServiceClient, *service) {
	t.Helper()
	r := ringtest.New(t, nil, operations)
	l, err := r.Listen(network, ringtest.Address(t, network))
	if err != nil {
		t.Fatal(err)
	}
	srv, s := grpc.NewServer(), &service{entered: make(chan struct{}, 1)}
	pb.RegisterTestServiceServer(srv, s)
	served := make(chan error, 1)
	go func() { served <- srv.Serve(l) }()
	dial := ringtest.Dialer(r, network, l.Addr().String())
	cc, err := grpc.NewClient("passthrough:///ring", grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return dial(ctx) }))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := cc.Close(); err != nil {
			t.Error(err)
		}
		srv.GracefulStop()
		if err := <-served; err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
	return pb.NewTestServiceClient(cc), s
}

func networks(t *testing.T, f func(t *testing.T, network string)) {
	for _, network := range []string{"tcp", "unix"} {
		t.Run(network, func(t *testing.T) { f(t, network) })
	}
}

func within(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	return ctx
}

func TestUnaryCalls(t *testing.T) {
	networks(t, func(t *testing.T, network string) {
		c, _ := start(t, network, 400)
		for i := range 200 {
			body := bytes.Repeat([]byte{byte(i)}, i*1000)
			out, err := c.UnaryCall(within(t), &pb.SimpleRequest{Payload: &pb.Payload{Body: body}})
			if err != nil || !bytes.Equal(out.GetPayload().GetBody(), body) || out.Hostname != network {
				t.Fatalf("%d bytes over %q, %v; want %d over %q", len(out.GetPayload().GetBody()), out.GetHostname(), err, len(body), network)
			}
		}
	})
}

func TestStreamsOfOneSide(t *testing.T) {
	networks(t, func(t *testing.T, network string) {
		c, _ := start(t, network, 100)
		in := &pb.StreamingOutputCallRequest{}
		for i := range 100 {
			in.ResponseParameters = append(in.ResponseParameters, &pb.ResponseParameters{Size: int32(i * 1000)})
		}
		down, err := c.StreamingOutputCall(within(t), in)
		if err != nil {
			t.Fatal(err)
		}
		for i := range 100 {
			m, err := down.Recv()
			if err != nil || !bytes.Equal(m.Payload.Body, bytes.Repeat([]byte{byte(i)}, i*1000)) {
				t.Fatalf("message %d: %d bytes, %v", i, len(m.GetPayload().GetBody()), err)
			}
		}
		if _, err := down.Recv(); err != io.EOF {
			t.Errorf("at the end: %v", err)
		}
		up, err := c.StreamingInputCall(within(t))
		if err != nil {
			t.Fatal(err)
		}
		sum := 0
		for i := range 100 {
			if err := up.Send(&pb.StreamingInputCallRequest{Payload: &pb.Payload{Body: make([]byte, i*1000)}}); err != nil {
				t.Fatal(err)
			}
			sum += i * 1000
		}
		if m, err := up.CloseAndRecv(); err != nil || int(m.AggregatedPayloadSize) != sum {
			t.Errorf("%v, %v; want %d", m, err, sum)
		}
	})
}

func TestDeadlinesReachTheServer(t *testing.T) {
	networks(t, func(t *testing.T, network string) {
		c, s := start(t, network, 4)
		ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
		defer cancel()
		if _, err := c.EmptyCall(ctx, &pb.Empty{}); status.Code(err) != codes.DeadlineExceeded {
			t.Errorf("%v; want DeadlineExceeded", err)
		}
		select {
		case <-s.entered:
		default:
			t.Error("the call has not reached the server")
		}
		ctx, cancel = context.WithCancel(t.Context())
		go func() {
			<-s.entered
			cancel()
		}()
		if _, err := c.EmptyCall(ctx, &pb.Empty{}); status.Code(err) != codes.Canceled {
			t.Errorf("%v; want Canceled", err)
		}
		// The connection is as good as before.
		if _, err := c.UnaryCall(within(t), &pb.SimpleRequest{}); err != nil {
			t.Error(err)
		}
	})
}

func TestAThousandStreamsAtOnce(t *testing.T) {
	networks(t, func(t *testing.T, network string) {
		c, _ := start(t, network, 20) // it sends much at once
		const n, rounds = 1000, 5
		ctx := within(t)
		streams := make([]grpc.BidiStreamingClient[pb.StreamingOutputCallRequest, pb.StreamingOutputCallResponse], n)
		for i := range streams {
			var err error
			if streams[i], err = c.FullDuplexCall(ctx); err != nil {
				t.Fatal(err)
			}
		}
		var ready, wg sync.WaitGroup
		ready.Add(n)
		for i, s := range streams {
			wg.Go(func() {
				for round := range rounds {
					body := fmt.Appendf(nil, "%d in round %d", i, round)
					err := s.Send(&pb.StreamingOutputCallRequest{Payload: &pb.Payload{Body: body}})
					var m *pb.StreamingOutputCallResponse
					if err == nil {
						m, err = s.Recv()
					}
					if err != nil || !bytes.Equal(m.Payload.Body, body) {
						t.Errorf("stream %d: %q, %v; want %q", i, m.GetPayload().GetBody(), err, body)
					}
					if round == 0 { // all of them are open at the same time
						ready.Done()
						ready.Wait()
					}
				}
				s.CloseSend()
				if _, err := s.Recv(); err != io.EOF {
					t.Errorf("stream %d, at the end: %v", i, err)
				}
			})
		}
		wg.Wait()
	})
}
