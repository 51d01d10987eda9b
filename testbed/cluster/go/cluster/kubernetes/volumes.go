package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/sig-storage-lib-external-provisioner/v13/controller"
)

// provisionerName is what the cluster's StorageClasses name.
const provisionerName = "genset.dev/directory"

// directories makes each PersistentVolume a directory of the only node, writable by any user as a container's own
// file system would be. A StorageClass with the parameter `sized: "true"` gets a file system of exactly the claim's
// size (in memory), so that a volume can be full.
type directories struct {
	root string
}

func (d directories) path(volume string) string { return filepath.Join(d.root, volume) }

func (d directories) Provision(_ context.Context, options controller.ProvisionOptions) (*v1.PersistentVolume, controller.ProvisioningState, error) {
	path := d.path(options.PVName)
	size := options.PVC.Spec.Resources.Requests[v1.ResourceStorage]
	if err := os.MkdirAll(path, 0o755); err != nil {
		return nil, controller.ProvisioningFinished, err
	}
	if options.StorageClass.Parameters["sized"] == "true" {
		data := fmt.Sprintf("size=%d", size.Value())
		if err := syscall.Mount("tmpfs", path, "tmpfs", 0, data); err != nil {
			return nil, controller.ProvisioningFinished, fmt.Errorf("mounting a file system of %s: %w", size.String(), err)
		}
	}
	if err := os.Chmod(path, 0o777); err != nil {
		return nil, controller.ProvisioningFinished, err
	}
	kind := v1.HostPathDirectory
	return &v1.PersistentVolume{
		ObjectMeta: metav1.ObjectMeta{Name: options.PVName},
		Spec: v1.PersistentVolumeSpec{
			PersistentVolumeReclaimPolicy: *options.StorageClass.ReclaimPolicy,
			AccessModes:                   options.PVC.Spec.AccessModes,
			Capacity:                      v1.ResourceList{v1.ResourceStorage: size},
			PersistentVolumeSource:        v1.PersistentVolumeSource{HostPath: &v1.HostPathVolumeSource{Path: path, Type: &kind}},
		},
	}, controller.ProvisioningFinished, nil
}

func (d directories) Delete(_ context.Context, volume *v1.PersistentVolume) error {
	path := d.path(volume.Name)
	// EINVAL: not a mount point, as for every class but the sized one.
	if err := syscall.Unmount(path, 0); err != nil && !errors.Is(err, syscall.EINVAL) && !errors.Is(err, syscall.ENOENT) {
		return err
	}
	return os.RemoveAll(path)
}

func provisionVolumes() {
	flags := flag.NewFlagSet("volume-provisioner", flag.ExitOnError)
	kubeconfig := flags.String("kubeconfig", "", "kubeconfig of a user who may write PersistentVolumes")
	root := flags.String("root", "", "folder that holds one directory per volume")
	_ = flags.Parse(os.Args[1:])
	if err := serveVolumes(*kubeconfig, *root); err != nil {
		fmt.Fprintln(os.Stderr, "volume-provisioner:", err)
		os.Exit(1)
	}
}

func serveVolumes(kubeconfig, root string) error {
	if !filepath.IsAbs(root) {
		return fmt.Errorf("--root %q is not an absolute path", root)
	}
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		return err
	}
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	controller.NewProvisionController(ctx, client, provisionerName, directories{root: root}, controller.LeaderElection(false)).Run(ctx)
	return nil
}
