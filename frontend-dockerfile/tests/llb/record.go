// SPDX-License-Identifier: Apache-2.0
//
// Records what BuildKit lowers Dockerfiles to: for every DIR/NAME.dockerfile one OUT/NAME.json with
// the definition and the image config of every platform, and the images that were asked for.
//
// Lines "#! key value" of a file are options, as in the tests.
package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"github.com/containerd/platforms"
	"github.com/moby/buildkit/client"
	"github.com/moby/buildkit/client/llb/sourceresolver"
	"github.com/moby/buildkit/frontend/dockerfile/dockerfile2llb"
	"github.com/moby/buildkit/frontend/dockerui"
	gateway "github.com/moby/buildkit/frontend/gateway/client"
	"github.com/moby/buildkit/frontend/subrequests/convertllb"
	"github.com/moby/buildkit/solver/pb"
	digest "github.com/opencontainers/go-digest"
	ocispecs "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/tonistiigi/fsutil"
)

type image struct {
	Reference string          `json:"reference"`
	Platform  string          `json:"platform"`
	Digest    string          `json:"digest"`
	Config    json.RawMessage `json:"config"`
}

type target struct {
	Platform   string             `json:"platform"`
	Definition *convertllb.Result `json:"definition"`
	Config     any                `json:"config"`
	Epoch      *int64             `json:"epoch,omitempty"`
}

type record struct {
	Targets []target `json:"targets"`
	Images  []image  `json:"images"`
	Error   string   `json:"error,omitempty"`
}

// recorder keeps the answers about images.
type recorder struct {
	gateway.Client
	mu     sync.Mutex
	images []image
}

func (r *recorder) ResolveImageConfig(ctx context.Context, ref string, opt sourceresolver.Opt) (string, digest.Digest, []byte, error) {
	ref2, dgst, dt, err := r.Client.ResolveImageConfig(ctx, ref, opt)
	if err == nil {
		one := image{Reference: ref, Digest: dgst.String(), Config: dt}
		if opt.ImageOpt != nil && opt.ImageOpt.Platform != nil {
			one.Platform = platforms.FormatAll(*opt.ImageOpt.Platform)
		}
		r.mu.Lock()
		r.images = append(r.images, one)
		r.mu.Unlock()
	}
	return ref2, dgst, dt, err
}

func options(text []byte, dir string) map[string]string {
	attrs := map[string]string{}
	var ignore []string
	scanner := bufio.NewScanner(bytes.NewReader(text))
	for scanner.Scan() {
		line, ok := strings.CutPrefix(scanner.Text(), "#! ")
		if !ok {
			continue
		}
		key, value, _ := strings.Cut(line, " ")
		name, rest, _ := strings.Cut(value, "=")
		add := func(key, value string) {
			if old := attrs[key]; old != "" {
				value = old + "," + value
			}
			attrs[key] = value
		}
		switch key {
		case "build-arg", "label", "context":
			if key == "context" && rest == "local" {
				rest = "local:" + name
			}
			attrs[key+":"+name] = rest
		case "platform":
			add("platform", value)
		case "no-cache":
			attrs["no-cache"] = ""
		case "no-cache-filter":
			attrs["no-cache"] = value
		case "add-host":
			add("add-hosts", value)
		case "network":
			attrs["force-network-mode"] = value
		case "ulimit":
			add("ulimit", value)
		case "pull":
			attrs["image-resolve-mode"] = "pull"
		case "ignore":
			ignore = append(ignore, value)
		default: // target, shm-size, cgroup-parent
			attrs[key] = value
		}
	}
	if ignore != nil {
		must(os.WriteFile(filepath.Join(dir, ".dockerignore"), []byte(strings.Join(ignore, "\n")+"\n"), 0o644))
	}
	return attrs
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}

func main() {
	c, err := client.New(context.Background(), os.Args[1])
	must(err)
	files, err := filepath.Glob(filepath.Join(os.Args[2], "*.dockerfile"))
	must(err)
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".dockerfile")
		if len(os.Args) > 4 && os.Args[4] != name {
			continue
		}
		rec := one(c, file)
		if rec.Error != "" {
			fmt.Fprintln(os.Stderr, name+": "+rec.Error)
		}
		dt, err := json.Marshal(rec)
		must(err)
		must(os.WriteFile(filepath.Join(os.Args[3], name+".json"), dt, 0o644))
	}
}

func one(c *client.Client, file string) record {
	dir, err := os.MkdirTemp("", "llb")
	must(err)
	defer os.RemoveAll(dir)
	text, err := os.ReadFile(file)
	must(err)
	base := filepath.Base(file)
	must(os.WriteFile(filepath.Join(dir, base), text, 0o644))
	attrs := options(text, dir)
	attrs["filename"] = base
	mount, err := fsutil.NewFS(dir)
	must(err)
	mounts := map[string]fsutil.FS{"context": mount, "dockerfile": mount}
	for _, v := range attrs {
		if local, ok := strings.CutPrefix(v, "local:"); ok {
			mounts[local] = mount
		}
	}
	var rec record
	ch := make(chan *client.SolveStatus)
	go func() {
		for range ch {
		}
	}()
	_, err = c.Build(context.Background(), client.SolveOpt{LocalMounts: mounts, FrontendAttrs: attrs}, "", func(ctx context.Context, gw gateway.Client) (*gateway.Result, error) {
		r := &recorder{Client: gw}
		err := lower(ctx, r, &rec)
		rec.Images = r.images
		return gateway.NewResult(), err
	}, ch)
	if err != nil {
		rec.Error = err.Error()
	}
	return rec
}

func lower(ctx context.Context, gw *recorder, rec *record) error {
	bc, err := dockerui.NewClient(gw)
	if err != nil {
		return err
	}
	src, err := bc.ReadEntrypoint(ctx, "Dockerfile")
	if err != nil {
		return err
	}
	var all []*ocispecs.Platform
	for i := range bc.TargetPlatforms {
		all = append(all, &bc.TargetPlatforms[i])
	}
	if all == nil {
		all = append(all, nil)
	}
	for _, p := range all {
		opt := dockerfile2llb.ConvertOpt{Config: bc.Config, Client: bc, SourceMap: src.SourceMap, MetaResolver: gw, TargetPlatform: p}
		opt.BuildArgs = maps.Clone(opt.BuildArgs)
		res, err := dockerfile2llb.Dockerfile2LLB(ctx, src.Data, opt)
		if err != nil {
			return err
		}
		def, err := res.State.Marshal(ctx)
		if err != nil {
			return err
		}
		result := &convertllb.Result{Def: map[digest.Digest]*pb.Op{}, Metadata: def.Metadata, Source: def.Source}
		for _, dt := range def.Def {
			var op pb.Op
			if err := op.UnmarshalVT(dt); err != nil {
				return err
			}
			result.Def[digest.FromBytes(dt)] = &op
		}
		one := target{Definition: result, Config: res.Image}
		if p != nil {
			one.Platform = platforms.FormatAll(*p)
		}
		if res.Epoch != nil {
			sec := res.Epoch.Unix()
			one.Epoch = &sec
		}
		rec.Targets = append(rec.Targets, one)
	}
	return nil
}
