// Where a picture comes from: dropped, pasted, chosen, photographed or drawn. It is sent to the page's own server as it
// is; the answer comes over the page's socket.
const SIDE = 280; // of the drawing, in pixels
const PEN = 22;
const STEP = 10; // of the pen that is moved by keys
const THUMB = 56;

export default {
  template: `
    <div class="picker">
      <div class="modes" role="group" aria-label="How to give a picture">
        <button type="button" :aria-pressed="String(mode === 'file')" @click="turn('file')">Picture</button>
        <button type="button" :aria-pressed="String(mode === 'draw')" @click="turn('draw')">Draw</button>
      </div>
      <div class="stage" :class="{over, busy}" @dragenter.prevent="over = true" @dragover.prevent="over = true"
           @dragleave="over = false" @drop.prevent="dropped">
        <template v-if="mode === 'file'">
          <video v-show="live" ref="video" autoplay muted playsinline aria-label="What the camera sees"></video>
          <img v-if="shown && !live" :src="shown" alt="The picture that was asked about">
          <div v-if="!shown && !live" class="hint" @click="$refs.file.click()">
            <svg viewBox="0 0 24 24" aria-hidden="true"><path d="M12 15.5V4m0 0L7.5 8.5M12 4l4.5 4.5M4 15v3.5A1.5 1.5 0 0 0
              5.5 20h13a1.5 1.5 0 0 0 1.5-1.5V15"/></svg>
            <p>Drop a picture here</p>
            <p class="quiet">or paste one with Ctrl + V</p>
          </div>
        </template>
        <div v-else class="paper">
          <canvas ref="paper" width="${SIDE}" height="${SIDE}" tabindex="0" role="img"
                  aria-label="Drawing area" aria-describedby="paper-keys"
                  @pointerdown="begin" @pointermove="move" @pointerup="lift" @pointercancel="lift" @keydown="keys"></canvas>
          <span v-show="keyed" class="pen" :class="{down: pen}" :style="penAt" aria-hidden="true"></span>
        </div>
      </div>
      <div class="tools">
        <template v-if="mode === 'file' && !live">
          <button type="button" class="primary" @click="$refs.file.click()">Choose a picture</button>
          <button type="button" @click="photograph">Take a photo</button>
          <button type="button" :disabled="!last || busy" @click="send(last)">Ask again</button>
        </template>
        <template v-else-if="mode === 'file'">
          <button type="button" class="primary" @click="snap">Take it</button>
          <button type="button" @click="stop">Cancel</button>
        </template>
        <template v-else>
          <button type="button" class="primary" :disabled="!inked || busy" @click="askDrawing">Ask</button>
          <button type="button" :disabled="!inked" @click="clear">Clear</button>
        </template>
      </div>
      <p v-if="mode === 'draw'" id="paper-keys" class="quiet note">Draw with a finger or the mouse. By keyboard: arrow
        keys move the pen, Space puts it down or lifts it, Enter asks, Escape clears.</p>
      <p class="problem" role="alert">{{ problem }}</p>
      <input ref="file" type="file" accept="image/*" hidden data-testid="file" @change="chosen">
      <input ref="photo" type="file" accept="image/*" capture="environment" hidden @change="chosen">
    </div>`,
  props: { url: String },
  emits: ["thumb"],
  data: () => ({
    mode: "file", over: false, busy: false, shown: null, last: null, live: false, problem: "",
    inked: false, pen: false, keyed: false, x: SIDE / 2, y: SIDE / 2,
  }),
  computed: {
    penAt() {
      return { left: `${(100 * this.x) / SIDE}%`, top: `${(100 * this.y) / SIDE}%` };
    },
  },
  mounted() {
    this.onPaste = (event) => this.pasted(event);
    document.addEventListener("paste", this.onPaste);
    // Beside the area a dropped file would otherwise take the page's place.
    this.onStray = (event) => event.preventDefault();
    for (const kind of ["dragover", "drop"]) document.addEventListener(kind, this.onStray);
  },
  unmounted() {
    document.removeEventListener("paste", this.onPaste);
    for (const kind of ["dragover", "drop"]) document.removeEventListener(kind, this.onStray);
    this.stop();
  },
  methods: {
    turn(mode) {
      this.stop();
      this.mode = mode;
      this.inked = this.pen = this.keyed = false;
      this.problem = "";
    },
    dropped(event) {
      this.over = false;
      this.take(event.dataTransfer.files[0], "Only files can be dropped here; save the picture first, or copy it.");
    },
    pasted(event) {
      const item = [...event.clipboardData.items].find((one) => one.kind === "file");
      if (item) this.take(item.getAsFile());
      else if (!/^(INPUT|TEXTAREA|SELECT)$/.test(event.target.tagName ?? ""))
        this.problem = "There is no picture in the clipboard; copy one and paste again.";
    },
    chosen(event) {
      const file = event.target.files[0];
      event.target.value = ""; // so that the same file can be chosen again
      if (file) this.take(file);
    },
    take(file, otherwise) {
      if (!file) {
        this.problem = otherwise;
        return;
      }
      this.turn("file");
      this.show(file);
      this.send(file);
    },
    show(blob) {
      if (this.shown) URL.revokeObjectURL(this.shown);
      this.shown = URL.createObjectURL(blob);
    },
    async send(blob) {
      if (this.busy) {
        this.waiting = blob; // the newest one counts
        return;
      }
      this.busy = true;
      this.problem = "";
      this.last = blob;
      const strategy = document.getElementById("strategy")?.value ?? "";
      try {
        const asked = new URLSearchParams({ strategy, ...window.quorateWishes() });
        const response = await fetch(`${this.url}?${asked}`, {
          method: "POST",
          headers: { "content-type": blob.type || "application/octet-stream" },
          body: blob,
        });
        if (response.status === 401) location.href = "/login";
        else if (response.status === 410) location.reload();
        else if (response.ok) this.thumb(blob, (await response.json()).number);
        else this.problem = (await response.json().catch(() => ({}))).detail ?? "The picture was not accepted.";
      } catch {
        this.problem = "The page cannot reach its own server; it goes on trying. Ask again in a moment.";
      } finally {
        this.busy = false;
        const next = this.waiting;
        this.waiting = null;
        if (next) this.send(next);
      }
    },
    async thumb(blob, number) {
      try {
        const whole = await createImageBitmap(blob);
        const small = document.createElement("canvas");
        const scale = THUMB / Math.max(whole.width, whole.height);
        small.width = Math.max(1, Math.round(whole.width * scale));
        small.height = Math.max(1, Math.round(whole.height * scale));
        small.getContext("2d").drawImage(whole, 0, 0, small.width, small.height);
        this.$emit("thumb", { number, url: small.toDataURL("image/jpeg", 0.8) });
      } catch {
        // A picture that this browser cannot show (TIFF) has no small one.
      }
    },
    async photograph() {
      this.problem = "";
      if (matchMedia("(pointer: coarse)").matches || !navigator.mediaDevices?.getUserMedia) {
        this.$refs.photo.click(); // a phone's own camera is better than anything in a page
        return;
      }
      try {
        this.stream = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "environment" } });
        this.$refs.video.srcObject = this.stream;
        this.live = true;
      } catch {
        this.problem = "There is no camera, or the page may not use it; choose a picture instead.";
      }
    },
    snap() {
      const video = this.$refs.video;
      const still = document.createElement("canvas");
      still.width = video.videoWidth;
      still.height = video.videoHeight;
      still.getContext("2d").drawImage(video, 0, 0);
      this.stop();
      still.toBlob((blob) => this.take(blob, "The camera gave no picture; try again."), "image/jpeg", 0.92);
    },
    stop() {
      this.live = false;
      this.stream?.getTracks().forEach((track) => track.stop());
      this.stream = null;
    },

    // --- drawing ---
    line(x, y) {
      const pen = this.$refs.paper.getContext("2d");
      pen.lineCap = pen.lineJoin = "round";
      pen.lineWidth = PEN;
      pen.strokeStyle = "#111";
      pen.beginPath();
      pen.moveTo(this.x, this.y);
      pen.lineTo(x, y);
      pen.stroke();
      this.inked = true;
    },
    at(event) {
      const box = this.$refs.paper.getBoundingClientRect();
      return [((event.clientX - box.left) * SIDE) / box.width, ((event.clientY - box.top) * SIDE) / box.height];
    },
    begin(event) {
      if (!event.isPrimary || event.button > 0) return;
      this.keyed = false;
      this.$refs.paper.setPointerCapture(event.pointerId);
      [this.x, this.y] = this.at(event);
      this.line(this.x, this.y);
      this.pen = true;
    },
    move(event) {
      if (!this.pen || this.keyed || !event.isPrimary) return;
      for (const point of event.getCoalescedEvents?.() ?? [event]) {
        const [x, y] = this.at(point);
        this.line(x, y);
        [this.x, this.y] = [x, y];
      }
    },
    lift() {
      if (!this.keyed) this.pen = false;
    },
    keys(event) {
      const way = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
      if (way) {
        this.keyed = true;
        const within = (value) => Math.min(SIDE - PEN / 2, Math.max(PEN / 2, value));
        const [x, y] = [within(this.x + way[0] * STEP), within(this.y + way[1] * STEP)];
        if (this.pen) this.line(x, y);
        [this.x, this.y] = [x, y];
      } else if (event.key === " ") {
        this.keyed = true;
        this.pen = !this.pen;
        if (this.pen) this.line(this.x, this.y);
      } else if (event.key === "Enter" && this.inked) this.askDrawing();
      else if (event.key === "Escape") this.clear();
      else return;
      event.preventDefault();
    },
    clear() {
      this.$refs.paper.getContext("2d").clearRect(0, 0, SIDE, SIDE);
      this.inked = this.pen = false;
    },
    askDrawing() {
      const whole = document.createElement("canvas");
      whole.width = whole.height = SIDE;
      const ground = whole.getContext("2d");
      ground.fillStyle = "#fff";
      ground.fillRect(0, 0, SIDE, SIDE);
      ground.drawImage(this.$refs.paper, 0, 0);
      whole.toBlob((blob) => this.send(blob), "image/png");
    },
  },
};
