//go:build !linux

package uring

import (
	"errors"
	"runtime"
)

func TrySetup(uint32) (uint32, error)     { return 0, errors.ErrUnsupported }
func Supported() ([256]bool, error)       { return [256]bool{}, errors.ErrUnsupported }
func Release() (string, error)            { return runtime.GOOS + " " + runtime.GOARCH, nil }
func LockedMemory() (uint64, bool, error) { return 0, false, errors.ErrUnsupported }
func Descriptors() (uint64, bool, error)  { return 0, false, errors.ErrUnsupported }
func FileSystem(string) (uint32, error)   { return 0, errors.ErrUnsupported }
func Disabled() (string, string, bool)    { return "", "", false }
func Exempt(string) bool                  { return false }
func Seccomp() string                     { return "" }
