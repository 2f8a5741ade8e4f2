// The form of an experiment. What is typed stays text here until control has taken it; what is wrong comes back as
// `problems`, a sentence by field, and stands beside it. It outlives a reload, in this browser's tab only.
const METHODS = {
  tuned: "tuned to the minimum effect (looks at any time)", asymptotic: "asymptotic (looks at any time)",
  msprt: "mSPRT (looks at any time)", betting: "betting (exact, bounded values)",
  bernstein: "Bernstein (exact, bounded values)", nonparametric: "nonparametric (quantiles)",
  group_sequential: "group sequential (planned looks)", fixed: "fixed horizon (one look at the end)",
};
const METRICS = {
  accuracy: "right answers (accuracy)", absolute_error: "absolute error", reward: "mean of a reward",
  ratio: "ratio of two rewards", quantile: "quantile of a reward or the latency",
  value: "business value of a request", weighted: "several, weighted",
};
const RAILS = {
  error_rate: "error rate", latency: "latency (ms)", degraded: "share of degraded answers",
  fallback: "share of fallbacks", reward: "a reward",
};

// A labelled field with a hint and what is wrong with it; the slot gets the attributes that tie them together.
const XField = {
  props: { path: String, label: String, hint: String, problems: Object },
  computed: {
    id() { return `f-${this.path}`; },
    wrong() { return this.problems[this.path] ?? ""; },
    about() {
      const told = [this.hint && `${this.id}-hint`, this.wrong && `${this.id}-wrong`].filter(Boolean).join(" ");
      return { id: this.id, "aria-describedby": told || null, "aria-invalid": this.wrong ? "true" : null };
    },
  },
  template: `
    <div class="field" :class="{wrong}">
      <label :for="id">{{ label }}</label>
      <slot :a="about"></slot>
      <p v-if="hint" :id="id + '-hint'" class="hint-line">{{ hint }}</p>
      <p v-if="wrong" :id="id + '-wrong'" class="wrong-line">{{ wrong }}</p>
    </div>`,
};

export default {
  components: { XField },
  props: {
    initial: Object, endpoints: Object, problems: Object, failed: String, busy: String, suggested: Object,
    revising: Boolean, slot_key: String,
  },
  emits: ["plan", "test", "save"],
  data() {
    const kept = this.kept();
    const v = { ...JSON.parse(JSON.stringify(this.initial)), ...(kept?.v ?? {}) };
    return { v, extra: { daily_units: "", presence: "", ...(kept?.extra ?? {}) }, planned: "", METHODS, METRICS, RAILS };
  },
  computed: {
    arms() { return [this.v.control, ...this.treatments]; },
    others() { return (this.endpoints[this.v.endpoint]?.strategies ?? []).filter((name) => name !== this.v.control); },
    treatments() { return this.others.filter((name) => this.v.treatments.includes(name)); },
    kinds() {
      const values = this.endpoints[this.v.endpoint]?.output === "values";
      return Object.entries(METRICS).filter(([kind]) => kind !== (values ? "accuracy" : "absolute_error"));
    },
    singles() { return this.kinds.filter(([kind]) => !["ratio", "quantile", "weighted"].includes(kind)); },
    shares() {
      const weights = this.arms.map((arm) => Number(this.v.allocation[arm] || 1));
      const total = weights.reduce((sum, one) => sum + one, 0);
      return weights.map((one) => (total > 0 ? `${(100 * one / total).toFixed(1)} %` : ""));
    },
    units() {
      return { accuracy: "0.02 is two answers in a hundred", value: "in the units of the value" }[this.v.metric.kind]
        ?? (this.v.metric.kind === "quantile" && this.v.metric.of === "latency_ms" ? "in milliseconds"
          : "absolute, in the units of the metric");
    },
    listed() { return Object.entries(this.problems); },
    stale() { return this.planned !== "" && this.planned !== JSON.stringify(this.v); },
  },
  watch: {
    v: { deep: true, handler() { this.keep(); } },
    extra: { deep: true, handler() { this.keep(); } },
    suggested(found) {
      if (!found) return;
      this.planned = "";
      for (const name of ["max_units", "max_days"]) if (!this.v.stop[name]) this.v.stop[name] = found[name];
      this.planned = JSON.stringify(this.v);
    },
    listed(found) { if (found.length) this.$nextTick(() => this.focus(found[0][0])); },
    "v.endpoint"() {
      const names = this.endpoints[this.v.endpoint]?.strategies ?? [];
      if (!names.includes(this.v.control)) this.v.control = names[0] ?? "";
      this.v.treatments = this.v.treatments.filter((name) => names.includes(name));
      if (!this.treatments.length && this.others.length) this.v.treatments = [this.others[0]];
      if (!this.kinds.some(([kind]) => kind === this.v.metric.kind)) this.v.metric.kind = this.kinds[0][0];
    },
  },
  methods: {
    kept() { try { return JSON.parse(sessionStorage.getItem(this.slot_key)); } catch { return null; } },
    keep() {
      try { sessionStorage.setItem(this.slot_key, JSON.stringify({ v: this.v, extra: this.extra })); } catch {}
    },
    focus(path) {
      const field = document.getElementById(`f-${path}`);
      if (!field) return;
      field.closest("details")?.setAttribute("open", "");
      field.focus();
    },
    ask(what) { if (!this.busy) this.$emit(what, { form: this.v, extra: this.extra }); },
    use() { Object.assign(this.v.stop, this.suggested); this.planned = JSON.stringify(this.v); },
    rail() { this.v.guard_rails.push({ metric: "error_rate", margin: "", reward: "", better: "higher", q: "" }); },
    part() {
      this.v.metric.parts.push({ weight: "1", kind: "reward", reward: "", better: "higher", low: "", high: "" });
    },
  },
  template: `
<form class="planner" novalidate @submit.prevent="ask('plan')">
  <div class="planner-form">
    <section class="card sheet" aria-labelledby="s-compared">
      <h2 id="s-compared">What is compared</h2>
      <x-field path="name" label="Name" hint="Lower-case letters, digits, . - and _; as new-model-trial" :problems="problems" v-slot="{a}">
        <input v-bind="a" v-model="v.name" maxlength="200" spellcheck="false"></x-field>
      <x-field path="endpoint" label="Endpoint" :problems="problems" v-slot="{a}">
        <select v-bind="a" v-model="v.endpoint">
          <option v-for="(_, name) in endpoints" :key="name" :value="name">{{ name }}</option></select></x-field>
      <x-field path="control" label="Strategy to beat (control)" :problems="problems" v-slot="{a}">
        <select v-bind="a" v-model="v.control">
          <option v-for="name in endpoints[v.endpoint]?.strategies ?? []" :key="name" :value="name">{{ name }}</option>
        </select></x-field>
      <fieldset class="field" :class="{wrong: problems.treatments}">
        <legend>Compared with it</legend>
        <div class="checks" id="f-treatments" tabindex="-1">
          <label v-for="name in others" :key="name" class="check">
            <input type="checkbox" :value="name" v-model="v.treatments"> {{ name }}</label>
          <p v-if="!others.length" class="hint-line">This endpoint has one strategy only; give it another one first.</p>
        </div>
        <p v-if="problems.treatments" class="wrong-line">{{ problems.treatments }}</p>
      </fieldset>
      <fieldset class="field span-2">
        <legend>Weights of the split</legend>
        <div class="weights">
          <div v-for="(arm, i) in arms" :key="arm" class="weight">
            <label :for="'f-allocation.' + arm">{{ arm }}</label>
            <input :id="'f-allocation.' + arm" v-model="v.allocation[arm]" inputmode="decimal" placeholder="1"
                   :aria-invalid="problems['allocation.' + arm] ? 'true' : null">
            <span class="quiet">{{ shares[i] }}</span>
            <p v-if="problems['allocation.' + arm]" class="wrong-line">{{ problems['allocation.' + arm] }}</p>
          </div>
        </div>
      </fieldset>
      <x-field path="unit_kind" label="What is assigned (unit)" :problems="problems" v-slot="{a}">
        <select v-bind="a" v-model="v.unit"><option value="request">every request by itself</option>
          <option value="context">equal values of a context key keep their arm</option></select></x-field>
      <x-field v-if="v.unit === 'context'" path="unit" label="Context key" :problems="problems" v-slot="{a}"
               hint="As user_id; requests without it are refused meanwhile">
        <input v-bind="a" v-model="v.unit_key" spellcheck="false"></x-field>
      <p v-else-if="problems.unit" class="wrong-line" id="f-unit" tabindex="-1">{{ problems.unit }}</p>
    </section>

    <section class="card sheet" aria-labelledby="s-metric">
      <h2 id="s-metric">What decides</h2>
      <x-field path="metric.kind" label="Metric" :problems="problems" v-slot="{a}">
        <select v-bind="a" v-model="v.metric.kind">
          <option v-for="[kind, title] in kinds" :key="kind" :value="kind">{{ title }}</option></select></x-field>
      <x-field path="minimum_effect" label="Smallest difference that matters" :hint="units" :problems="problems" v-slot="{a}">
        <input v-bind="a" v-model="v.minimum_effect" inputmode="decimal"></x-field>
      <template v-if="v.metric.kind === 'reward'">
        <x-field path="metric.reward" label="Reward" hint="Its name in the outcomes" :problems="problems" v-slot="{a}">
          <input v-bind="a" v-model="v.metric.reward" spellcheck="false"></x-field>
        <x-field path="metric.low" label="Lowest value, if bounded" :problems="problems" v-slot="{a}">
          <input v-bind="a" v-model="v.metric.low" inputmode="decimal"></x-field>
        <x-field path="metric.high" label="Highest value, if bounded" :problems="problems" v-slot="{a}">
          <input v-bind="a" v-model="v.metric.high" inputmode="decimal"></x-field>
      </template>
      <template v-if="v.metric.kind === 'ratio'">
        <x-field path="metric.numerator" label="Sum of this reward" :problems="problems" v-slot="{a}">
          <input v-bind="a" v-model="v.metric.numerator" spellcheck="false"></x-field>
        <x-field path="metric.denominator" label="per sum of that reward" :problems="problems" v-slot="{a}">
          <input v-bind="a" v-model="v.metric.denominator" spellcheck="false"></x-field>
      </template>
      <template v-if="v.metric.kind === 'quantile'">
        <x-field path="metric.of" label="Quantile of" hint="latency_ms, or the name of a reward" :problems="problems" v-slot="{a}">
          <input v-bind="a" v-model="v.metric.of" spellcheck="false"></x-field>
        <x-field path="metric.q" label="Which quantile" hint="0.95 is the 95th percentile" :problems="problems" v-slot="{a}">
          <input v-bind="a" v-model="v.metric.q" inputmode="decimal"></x-field>
      </template>
      <x-field v-if="['reward', 'ratio', 'quantile'].includes(v.metric.kind)" path="metric.better" label="Better is"
               :problems="problems" v-slot="{a}">
        <select v-bind="a" v-model="v.metric.better"><option value="higher">higher</option>
          <option value="lower">lower</option></select></x-field>
      <div v-if="v.metric.kind === 'weighted'" class="span-2 rows">
        <fieldset v-for="(part, i) in v.metric.parts" :key="i" class="row">
          <legend class="unseen">Part {{ i + 1 }}</legend>
          <x-field :path="'metric.parts.' + i + '.weight'" label="Weight" :problems="problems" v-slot="{a}">
            <input v-bind="a" v-model="part.weight" inputmode="decimal"></x-field>
          <x-field :path="'metric.parts.' + i + '.metric.kind'" label="of" :problems="problems" v-slot="{a}">
            <select v-bind="a" v-model="part.kind">
              <option v-for="[kind, title] in singles" :key="kind" :value="kind">{{ title }}</option></select></x-field>
          <x-field v-if="part.kind === 'reward'" :path="'metric.parts.' + i + '.metric.reward'" label="Reward"
                   :problems="problems" v-slot="{a}"><input v-bind="a" v-model="part.reward" spellcheck="false"></x-field>
          <button v-if="v.metric.parts.length > 2" type="button" class="small" :aria-label="'Remove part ' + (i + 1)"
                  @click="v.metric.parts.splice(i, 1)">Remove</button>
        </fieldset>
        <div><button v-if="v.metric.parts.length < 16" type="button" class="small" @click="part">Add a part</button></div>
      </div>
      <x-field path="outcome_window_s" label="An outcome counts for" hint="after the request; later ones do not"
               :problems="problems" v-slot="{a}">
        <span class="pair"><input v-bind="a" v-model="v.outcome_window.value" inputmode="decimal">
          <select v-model="v.outcome_window.unit" aria-label="Unit of that time">
            <option v-for="unit in ['seconds', 'minutes', 'hours', 'days']" :key="unit">{{ unit }}</option></select>
        </span></x-field>
    </section>

    <section class="card sheet" aria-labelledby="s-stop">
      <h2 id="s-stop">When it ends</h2>
      <x-field path="stop.max_units" label="Units with an outcome, at most" hint="The plan says how many are needed"
               :problems="problems" v-slot="{a}">
        <input v-bind="a" v-model="v.stop.max_units" inputmode="numeric"></x-field>
      <x-field path="stop.max_days" label="Days, at most" :problems="problems" v-slot="{a}">
        <input v-bind="a" v-model="v.stop.max_days" inputmode="decimal"></x-field>
      <x-field path="stop.alpha" label="Risk of a false difference (alpha)" :problems="problems" v-slot="{a}">
        <input v-bind="a" v-model="v.stop.alpha" inputmode="decimal"></x-field>
      <x-field path="stop.power" label="Chance to find a real one (power)" :problems="problems" v-slot="{a}">
        <input v-bind="a" v-model="v.stop.power" inputmode="decimal"></x-field>
      <x-field path="stop.method" label="Method" :problems="problems" v-slot="{a}">
        <select v-bind="a" v-model="v.stop.method">
          <option v-for="(title, name) in METHODS" :key="name" :value="name">{{ title }}</option></select></x-field>
      <x-field v-if="v.stop.method === 'group_sequential'" path="stop.looks" label="Planned looks" :problems="problems" v-slot="{a}">
        <input v-bind="a" v-model="v.stop.looks" inputmode="numeric"></x-field>
      <x-field path="look_every_s" label="Look at the data every" :problems="problems" v-slot="{a}">
        <span class="pair"><input v-bind="a" v-model="v.look_every.value" inputmode="decimal">
          <select v-model="v.look_every.unit" aria-label="Unit of the time between looks">
            <option v-for="unit in ['seconds', 'minutes', 'hours', 'days']" :key="unit">{{ unit }}</option></select>
        </span></x-field>
      <x-field path="conclude" label="After the verdict" :problems="problems" v-slot="{a}">
        <select v-bind="a" v-model="v.conclude"><option value="ask">somebody promotes or keeps</option>
          <option value="auto">it is carried out, if nothing speaks against it</option></select></x-field>
    </section>

    <section class="card sheet" aria-labelledby="s-rails">
      <h2 id="s-rails">What must not get worse</h2>
      <div class="span-2 rows">
        <p v-if="!v.guard_rails.length" class="hint-line">No guard rails: only the metric can end the experiment.</p>
        <fieldset v-for="(rail, i) in v.guard_rails" :key="i" class="row">
          <legend class="unseen">Guard rail {{ i + 1 }}</legend>
          <x-field :path="'guard_rails.' + i + '.metric'" label="Guard rail" :problems="problems" v-slot="{a}">
            <select v-bind="a" v-model="rail.metric">
              <option v-for="(title, name) in RAILS" :key="name" :value="name">{{ title }}</option></select></x-field>
          <x-field :path="'guard_rails.' + i + '.margin'" label="Worse by at most" :problems="problems" v-slot="{a}">
            <input v-bind="a" v-model="rail.margin" inputmode="decimal"></x-field>
          <x-field v-if="rail.metric === 'latency'" :path="'guard_rails.' + i + '.q'" label="Quantile (empty: mean)"
                   :problems="problems" v-slot="{a}"><input v-bind="a" v-model="rail.q" inputmode="decimal"></x-field>
          <template v-if="rail.metric === 'reward'">
            <x-field :path="'guard_rails.' + i + '.reward'" label="Reward" :problems="problems" v-slot="{a}">
              <input v-bind="a" v-model="rail.reward" spellcheck="false"></x-field>
            <x-field :path="'guard_rails.' + i + '.better'" label="Better is" :problems="problems" v-slot="{a}">
              <select v-bind="a" v-model="rail.better"><option value="higher">higher</option>
                <option value="lower">lower</option></select></x-field>
          </template>
          <button type="button" class="small" :aria-label="'Remove guard rail ' + (i + 1)"
                  @click="v.guard_rails.splice(i, 1)">Remove</button>
        </fieldset>
        <div><button v-if="v.guard_rails.length < 10" type="button" class="small" @click="rail">Add a guard rail</button></div>
      </div>
    </section>

    <details class="card more">
      <summary><h2>Segments, variance reduction, who sees what</h2></summary>
      <div class="sheet">
        <x-field path="segments" label="Break the result down by" hint="Context keys, as country, device; once, with the verdict"
                 :problems="problems" v-slot="{a}"><input v-bind="a" v-model="v.segments" spellcheck="false"></x-field>
        <x-field path="covariate_kind" label="Reduce variance (CUPED)" :problems="problems" v-slot="{a}">
          <select v-bind="a" v-model="v.covariate"><option value="none">no</option>
            <option value="context">by a number in the context, known before</option>
            <option value="pre_period" :disabled="v.unit === 'request'">by the unit's own past</option></select></x-field>
        <x-field v-if="v.covariate === 'context'" path="covariate" label="Context key of the number" :problems="problems" v-slot="{a}">
          <input v-bind="a" v-model="v.covariate_key" spellcheck="false"></x-field>
        <x-field v-if="v.covariate === 'pre_period'" path="covariate" label="Days of the past" :problems="problems" v-slot="{a}">
          <input v-bind="a" v-model="v.pre_period_days" inputmode="decimal"></x-field>
        <div class="field span-2 checks">
          <label class="check"><input type="checkbox" id="f-blind" v-model="v.blind">
            Blind: answers do not show which arm gave them</label>
          <p v-if="problems.blind" class="wrong-line">{{ problems.blind }}</p>
          <label class="check"><input type="checkbox" id="f-hide_until_verdict" v-model="v.hide_until_verdict">
            Hide every arm's results from operators until the verdict (and blind)</label>
          <p v-if="problems.hide_until_verdict" class="wrong-line">{{ problems.hide_until_verdict }}</p>
        </div>
        <x-field class="span-2" path="notes" label="Why, in words" :problems="problems" v-slot="{a}">
          <textarea v-bind="a" v-model="v.notes" rows="3" maxlength="10000"></textarea></x-field>
      </div>
    </details>
  </div>

  <section class="card planner-side" aria-labelledby="s-plan">
    <h2 id="s-plan">The plan</h2>
    <details class="assume"><summary>What it rests on, if you know better</summary>
      <x-field path="daily_units" label="Units a day" hint="Else as seen in the last 28 days" :problems="problems" v-slot="{a}">
        <input v-bind="a" v-model="extra.daily_units" inputmode="decimal"></x-field>
      <x-field path="presence" label="Share of units that get an outcome" hint="0 to 1; else as seen" :problems="problems" v-slot="{a}">
        <input v-bind="a" v-model="extra.presence" inputmode="decimal"></x-field>
    </details>
    <div class="tools">
      <button type="submit" :class="{primary: !suggested || stale}" :disabled="!!busy">{{ busy === 'plan' ? 'Planning …' : 'Plan' }}</button>
      <button type="button" :disabled="!!busy" @click="ask('test')">{{ busy === 'test' ? 'Testing …' : 'Self-test (A/A)' }}</button>
    </div>
    <div role="alert" data-testid="problems">
      <template v-if="listed.length || failed">
        <p class="wrong-line" v-if="failed">{{ failed }}</p>
        <ul class="wrongs" v-if="listed.length">
          <li v-for="[path, text] in listed" :key="path"><a href="#" @click.prevent="focus(path)">{{ text }}</a></li></ul>
      </template>
    </div>
    <p v-if="stale" class="note warned" role="status">Something was changed since; plan again.</p>
    <slot></slot>
    <button v-if="suggested && (v.stop.max_units !== suggested.max_units || v.stop.max_days !== suggested.max_days)"
            type="button" @click="use">Take {{ suggested.max_units }} units and {{ suggested.max_days }} days as limits</button>
  </section>

  <section class="card register" aria-labelledby="s-register">
    <h2 id="s-register">Register it</h2>
    <p>Registering starts nothing: you see it once more, and start it then. From the start on it cannot be changed, only
      stopped.</p>
    <div><button type="button" :class="{primary: suggested && !stale}" :disabled="!!busy" @click="ask('save')">
      {{ busy === 'save' ? 'Registering …' : revising ? 'Register this instead' : 'Register' }}</button></div>
    <p v-if="listed.length || failed" class="wrong-line">
      {{ failed || 'Something is wrong above: ' + listed[0][1] }}</p>
  </section>
</form>`,
};
