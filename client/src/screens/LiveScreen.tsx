import { SimulatedCall } from '../call/SimulatedCall';

/** `/calls/:sid/live`: a call that goes on elsewhere, to be read along. */
export function LiveScreen({ sid }: { sid: string }) {
  return <SimulatedCall callSid={sid} />;
}
