package raftwal

import (
	"os"
	"syscall"
)

func blocks(info os.FileInfo) int64 { return info.Sys().(*syscall.Stat_t).Blocks }
