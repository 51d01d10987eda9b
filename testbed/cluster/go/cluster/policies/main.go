// Command policies enforces the NetworkPolicies of a cluster for the pods of its one node: a stand-in of a few hundred
// lines for what a network plugin does.
//
// It makes one chain for each pod and direction that a policy isolates, in the mangle table, which sees packets after
// kube-proxy has translated their addresses and before any other rule can accept them. Peers are ipsets that are named
// by what is in them. IPv4 only; the node itself always reaches its pods, as probes must.
package main

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"log"
	"os/exec"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/clientcmd"
)

const (
	gather = 50 * time.Millisecond // several changes at once are one change of the rules
	again  = 30 * time.Second      // somebody else may have removed the rules
)

func main() {
	kubeconfig := flag.String("kubeconfig", "", "kubeconfig of a user who may watch pods, namespaces and NetworkPolicies")
	node := flag.String("node", "", "name of the node")
	flag.Parse()
	config, err := clientcmd.BuildConfigFromFlags("", *kubeconfig)
	if err != nil {
		log.Fatal(err)
	}
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		log.Fatal(err)
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	enforce(ctx, informers.NewSharedInformerFactory(client, 0), *node)
}

func enforce(ctx context.Context, factory informers.SharedInformerFactory, node string) {
	pods, namespaces := factory.Core().V1().Pods(), factory.Core().V1().Namespaces()
	policies := factory.Networking().V1().NetworkPolicies()
	changed := make(chan struct{}, 1)
	wake := func() {
		select {
		case changed <- struct{}{}:
		default:
		}
	}
	handler := cache.ResourceEventHandlerFuncs{
		AddFunc:    func(any) { wake() },
		UpdateFunc: func(any, any) { wake() },
		DeleteFunc: func(any) { wake() },
	}
	for _, informer := range []cache.SharedIndexInformer{pods.Informer(), namespaces.Informer(), policies.Informer()} {
		if _, err := informer.AddEventHandler(handler); err != nil {
			log.Fatal(err)
		}
	}
	factory.Start(ctx.Done())
	factory.WaitForCacheSync(ctx.Done())
	wake() // a cluster without any policy has the empty chain, too: it says that this program works
	last := ""
	for {
		select {
		case <-ctx.Done():
			return
		case <-changed:
			time.Sleep(gather)
		case <-time.After(again):
			last = ""
		}
		w := world{node: node, namespaces: map[string]labels.Set{}}
		w.pods, _ = pods.Lister().List(labels.Everything())
		w.policies, _ = policies.Lister().List(labels.Everything())
		found, _ := namespaces.Lister().List(labels.Everything())
		for _, namespace := range found {
			w.namespaces[namespace.Name] = namespace.Labels
		}
		wanted := w.render()
		if wanted.rules == last {
			continue
		}
		if err := wanted.install(); err != nil {
			log.Print(err)
			time.AfterFunc(time.Second, wake)
			continue
		}
		last = wanted.rules
		log.Printf("%d chains, %d sets", len(wanted.chains), len(wanted.sets))
	}
}

// install makes the sets, then the rules that name them in one transaction, then removes what no rule names any more.
func (r *rules) install() error {
	var sets strings.Builder
	for name, entries := range r.sets {
		fmt.Fprintf(&sets, "create %s hash:net family inet\n", name)
		for _, entry := range entries {
			fmt.Fprintf(&sets, "add %s %s\n", name, entry)
		}
	}
	if err := run(sets.String(), "ipset", "-exist", "restore"); err != nil {
		return err
	}
	if err := run(r.rules, "iptables-restore", "-w", "--noflush"); err != nil {
		return err
	}
	for _, hook := range []string{"FORWARD", "INPUT"} { // not OUTPUT: the node's own probes and port-forwards
		if run("", "iptables", "-w", "-t", "mangle", "-C", hook, "-j", top) == nil {
			continue
		}
		if err := run("", "iptables", "-w", "-t", "mangle", "-I", hook, "1", "-j", top); err != nil {
			return err
		}
	}
	for _, line := range lines("iptables", "-w", "-t", "mangle", "-S") {
		chain, declares := strings.CutPrefix(line, "-N ")
		if declares && strings.HasPrefix(chain, top+"-") && !r.chains[chain] {
			_ = run("", "iptables", "-w", "-t", "mangle", "-F", chain)
			_ = run("", "iptables", "-w", "-t", "mangle", "-X", chain)
		}
	}
	for _, set := range lines("ipset", "list", "-n") {
		if _, kept := r.sets[set]; strings.HasPrefix(set, top+"-") && !kept {
			_ = run("", "ipset", "destroy", set)
		}
	}
	return nil
}

func run(input string, name string, arguments ...string) error {
	command := exec.Command(name, arguments...)
	command.Stdin = strings.NewReader(input)
	var output bytes.Buffer
	command.Stdout, command.Stderr = &output, &output
	if err := command.Run(); err != nil {
		return fmt.Errorf("%s %s: %w: %s", name, strings.Join(arguments, " "), err, output.String())
	}
	return nil
}

func lines(name string, arguments ...string) []string {
	output, _ := exec.Command(name, arguments...).Output()
	return strings.Split(strings.TrimSpace(string(output)), "\n")
}
